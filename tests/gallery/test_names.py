"""What a visitor calls his file, or writes elsewhere: never a path, never unescaped, never a header or a log line."""

import json
import logging
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from gallery.models import Image, Query
from tests.api.answers import Response, error_code
from tests.gallery.elements import Elements
from tests.gallery.rows import add_file, add_image, files_kept, finished, picture

pytestmark = pytest.mark.django_db

MARK = "zqxj"  # found wherever a name comes through
NAMES = {
    "traversal": f"../../../../../../tmp/{MARK}.jpg",
    "backslashes": rf"..\..\{MARK}.jpg",
    "absolute": f"/tmp/{MARK}.jpg",
    "encoded": f"%2e%2e%2f%2e%2e%2f{MARK}.jpg",
    "nul": f"{MARK}.jpg\0.php",
    "control characters": f"{MARK}\x01\x1b[31m\x7f\x9b.jpg",
    "right to left": f"{MARK}\u202egpj.exe",
    "html": f"<script>alert('{MARK}')</script>.jpg",
    "attribute": f'"onerror="{MARK}()" x=".jpg',
    "entities": f"&lt;script&gt;{MARK}&lt;/script&gt;&#x3c;img src=x&#x3e;.jpg",
    "template": "{{ settings.SECRET_KEY }}{% debug %}" + MARK,
    "line feed": f"{MARK}.jpg\nforged: log line",
    "header": f"{MARK}.jpg\r\nX-Injected: yes\r\n\r\n<html>",
    "10,000 characters": MARK * 2500 + ".jpg",
    "device": "/dev/null",
    "dots": "..",
    "nothing": "",
}
every_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def upload(client: Client, address: str, name: str, data: bytes) -> Response:
    """Return a form as a hostile program writes it: the name goes out as it is, whatever that makes of the header."""
    head = f'--b\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode()
    return client.post(address, head + data + b"\r\n--b--\r\n", content_type="multipart/form-data; boundary=b")


def everywhere() -> set[Path]:
    return {path for path in Path(settings.MEDIA_ROOT).parent.rglob("*") if path.is_file()}


@every_name
@pytest.mark.parametrize("address", ["/", "/api/queries"])
@pytest.mark.parametrize("good", [True, False], ids=["accepted", "refused"])
def test_the_name_of_a_file_is_not_used_at_all(
    client: Client, caplog: pytest.LogCaptureFixture, name: str, address: str, good: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    before = everywhere()
    response = upload(client, address, name, picture() if good else b"no picture")
    assert response.status_code in {202, 303, 400, 415, 422}
    records = [str(response.headers), response.content.decode(), caplog.text]
    if response.status_code in {202, 303}:
        query = Query.objects.get()
        assert everywhere() - before == {query.upload_file.path}
        records += [
            client.get(f"/q/{query.pk}").content.decode(),
            client.get(f"/api/queries/{query.pk}").content.decode(),
        ]
    else:
        assert everywhere() == before
    for text in records:
        assert MARK not in text
    assert not any(MARK in path.name for path in Path("/tmp").iterdir())
    assert "X-Injected" not in response


# What a curator calls a picture is shown, and escaped.


@every_name
def test_a_title_and_a_label_are_text_on_every_page_and_in_json(client: Client, curator: Client, name: str) -> None:
    text = name.replace("\0", "")[:100]
    image = add_file(picture(), title=text, label=text)
    pages = ["/gallery/", image.get_absolute_url(), f"/q/{finished(image).pk}"]
    admin_pages = [
        "/admin/gallery/image/",
        f"/admin/gallery/image/{image.pk}/change/",
        f"/admin/gallery/image/{image.pk}/delete/",
    ]
    for response in [*map(client.get, pages), *map(curator.get, admin_pages)]:
        assert response.status_code == 200
        assert_nothing_runs(response)
    body = json.loads(client.get(f"/api/images/{image.pk}").content)
    assert (body["title"], body["label"]) == (text, " ".join(text.split()))


@every_name
def test_what_is_requested_in_an_address_is_text(client: Client, name: str) -> None:
    add_image()
    for response in (client.get("/gallery/", {"label": name, "page": name}), client.get(f"/{name.strip('/.') or 'x'}")):
        assert response.status_code in {200, 404}
        assert_nothing_runs(response)
    response = client.get("/api/images", {"label": name})
    assert response.status_code in {200, 422}
    assert response["Content-Type"].startswith("application/json")
    assert "X-Injected" not in response


@every_name
def test_the_options_of_a_question_are_text(client: Client, caplog: pytest.LogCaptureFixture, name: str) -> None:
    for field in ("k", "crop", "like", "collapse"):
        response = client.post("/api/queries", {field: name})
        assert error_code(response) in {"invalid", "empty"}
        assert response["Content-Type"].startswith("application/json")
        assert "X-Injected" not in response
    assert not re.search(r"^forged", caplog.text, re.MULTILINE)
    assert not Query.objects.exists()


def assert_nothing_runs(response: Response) -> None:
    page = Elements(response)
    assert not [script for script in page.of("script") if not {"src", "type", "id"} & script.keys()]
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    assert not [img for img in page.of("img") if img.get("src") == "x"]
    assert settings.SECRET_KEY not in response.content.decode()
    assert "X-Injected" not in response


def test_the_name_of_an_imported_file_is_a_label_and_no_path() -> None:
    image = add_file(picture(), title="../../../etc/passwd", label="../..")
    assert files_kept() == sorted([image.picture_file.path, image.thumbnail_file.path])
    assert Image.objects.get().picture_file.path.is_relative_to(settings.MEDIA_ROOT)
