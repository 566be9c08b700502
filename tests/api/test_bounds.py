"""Every field of every request has a bound: read from the API's own description, and tried out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from gallery.api.queries import api
from gallery.models import Query
from tests.api.answers import Response, error_code
from tests.gallery.rows import STRANGER, add_image, picture

pytestmark = pytest.mark.django_db

KEY = "key-of-the-camera"
SCHEMA: dict[str, Any] = api.get_openapi_schema()
UNBOUNDED = {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"}


@dataclass(frozen=True)
class Field:
    """A field of a request. `place`: query, path, or a content type; `limit`: its keyword."""

    method: str
    path: str
    place: str
    name: str
    limit: str
    schema: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.name} {self.limit}"


def fields() -> Iterator[Field]:
    for path, calls in SCHEMA["paths"].items():
        for method, call in calls.items():
            for parameter in call["parameters"]:
                yield from _of(parameter["schema"], method, path, parameter["in"], parameter["name"])
            for kind, content in call.get("requestBody", {}).get("content", {}).items():
                yield from _of(content["schema"], method, path, kind, "")


def _of(schema: dict[str, Any], method: str, path: str, place: str, name: str) -> Iterator[Field]:
    if reference := schema.get("$ref"):
        schema = SCHEMA["components"]["schemas"][reference.rpartition("/")[2]]
    for part in schema.get("anyOf", []):
        yield from _of(part, method, path, place, name)
    if "enum" in schema:  # bounded by its values
        return
    if limit := UNBOUNDED.get(schema.get("type", "")):
        yield Field(method, path, place, name, limit, schema)
    yield from _of(schema["items"], method, path, place, name) if "items" in schema else ()
    for inner, part in schema.get("properties", {}).items():
        yield from _of(part, method, path, place, inner)


FIELDS = list(fields())
TEXTS = [
    field for field in FIELDS if field.limit in {"maxLength", "maxItems"} and field.schema.get("format") != "binary"
]


def test_every_field_has_a_bound() -> None:
    assert {field.name for field in FIELDS} >= {
        "image",
        "like",
        "unlike",
        "url",
        "k",
        "crop",
        "label",
        "title",
        "page",
        "image_id",
    }
    # The bound of a file is SIMSEARCH_MAX_UPLOAD_BYTES, which is asked for in test_ask.py.
    assert [str(f) for f in FIELDS if f.limit not in f.schema and f.schema.get("format") != "binary"] == []


@pytest.mark.parametrize("field", TEXTS, ids=str)
def test_a_field_beyond_its_bound_is_refused(client: Client, settings: Settings, field: Field) -> None:
    settings.SIMSEARCH_API_KEYS = [KEY]
    limit = field.schema[field.limit]
    value: Any = [item(field)] * (limit + 1) if field.limit == "maxItems" else "0" * (limit + 1)
    response = send(client, field, value)
    assert (response.status_code, error_code(response)) in {(422, "invalid"), (404, "not_found")}
    assert response.status_code == 422 or field.place == "path"
    assert not Query.objects.exists()


@pytest.mark.parametrize("field", [field for field in TEXTS if field.name in {"label", "title"}], ids=str)
def test_a_field_at_its_bound_is_taken(client: Client, settings: Settings, field: Field) -> None:
    settings.SIMSEARCH_API_KEYS = [KEY]
    limit = field.schema[field.limit]
    for seed, label in enumerate(("x", "0" * limit), start=11):  # a label has to be one of the gallery's
        add_image(seed, label=label)
    assert send(client, field, ["x"] * limit if field.limit == "maxItems" else "0" * limit).status_code < 300


def item(field: Field) -> Any:
    """Return what a list of this field holds."""
    return SimpleUploadedFile("p.png", picture(2)) if field.schema["items"].get("format") == "binary" else "x"


def send(client: Client, field: Field, value: Any) -> Response:
    """Return a request that is fine but for this field."""
    address, headers = f"/api{field.path.removeprefix('/api')}", {"Authorization": f"Bearer {KEY}"}
    if field.place == "path":
        return client.generic(field.method.upper(), address.replace(f"{{{field.name}}}", value), headers=headers)
    if field.place == "query":
        return client.generic(field.method.upper(), address, headers=headers, QUERY_STRING=f"{field.name}={value}")
    address = address.replace("{image_id}", str(add_image().pk) if "{image_id}" in address else str(STRANGER))
    if field.place == "application/json":
        return client.generic(
            field.method.upper(), address, f'{{"{field.name}": "{value}"}}', field.place, headers=headers
        )
    file = {} if field.name == "like" else {"image": SimpleUploadedFile("p.png", picture(2))}
    return client.post(address, file | {field.name: value}, headers=headers)
