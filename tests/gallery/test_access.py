"""Every address there is, taken from the resolver: no client sees or changes what is not theirs."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from gallery.index import generations
from gallery.models import Embedding, Image, IndexGeneration, Query
from tests.gallery.rows import add_image, files_kept, finished, in_state
from tests.responses import end

pytestmark = pytest.mark.django_db

SECRET = "only the owner knows this title"
METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]


def addresses(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Return every address below a resolver, with `{}` for what varies."""
    for entry in resolver.url_patterns:
        here = prefix + _template(entry)
        if isinstance(entry, URLPattern):
            yield here
        else:
            yield from addresses(entry, here)


def _template(entry: URLPattern | URLResolver) -> str:
    text = str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
    return re.sub(r"<[^>]+>|\(\?P<[^)]*\)+|\(.*\)", "{}", text).replace("\\", "")


EVERY = sorted(set(addresses(get_resolver())))


@pytest.fixture
def things(db: None) -> dict[str, Any]:
    """Return what belongs to somebody: a finished query, a hidden picture, an account, an index generation."""
    hidden, shown = add_image(1, is_hidden=True, title=SECRET), add_image(2)
    query = finished(hidden, shown)
    generation = generations.start("efficientnet_lite0")
    return {"hidden": hidden, "shown": shown, "query": query, "generation": generation}


@pytest.fixture
def another(db: None) -> Client:
    """Return another visitor, who has asked something himself."""
    client = Client()
    in_state("done")
    return client


def state() -> list[Any]:
    """Return every row and file that there is, but for what a visit by itself leaves (a session)."""
    models = (Image, Query, Embedding, IndexGeneration, User)
    rows = [list(model._default_manager.order_by("pk").values()) for model in models]
    return [*rows, files_kept()]


def visit(client: Client, method: str, address: str) -> tuple[HttpResponseBase, bytes]:
    response = getattr(client, method)(f"/{address}")
    streaming = getattr(response, "streaming", False)
    body = b"".join(response.streaming_content) if streaming else response.content
    end(response)
    return response, body


def test_the_resolver_knows_the_site_the_api_and_the_desk() -> None:
    assert {"", "q/{}", "api/queries/{}", "gallery/{}/picture.jpg", "admin/gallery/image/{}/delete/"} <= set(EVERY)
    assert len(EVERY) > 40


@pytest.mark.parametrize("who", ["visitor", "another", "member"])
def test_no_client_changes_or_sees_what_is_not_theirs(
    request: pytest.FixtureRequest, who: str, things: dict[str, Any]
) -> None:
    """Whoever knows the id of a picture, of a generation or of an account; the link of a query is its key."""
    client: Client = request.getfixturevalue(who)
    strangers = [things["hidden"].pk, things["generation"].pk, User.objects.values_list("pk", flat=True).first() or 1]
    before = state()
    for address in EVERY:
        for known in strangers if "{}" in address else [""]:
            for method in METHODS:
                response, body = visit(client, method, address.replace("{}", str(known)))
                assert response.status_code != 500, (method, address)
                assert SECRET.encode() not in body, (method, address)
                assert str(things["query"].pk).encode() not in body, (method, address)
                assert str(things["hidden"].pk).encode() not in body or response.status_code == 302, (method, address)
    assert state() == before


@pytest.mark.parametrize("who", ["visitor", "another", "member"])
def test_the_desk_lets_only_the_staff_in(request: pytest.FixtureRequest, who: str, things: dict[str, Any]) -> None:
    client: Client = request.getfixturevalue(who)
    for address in (
        each for each in EVERY if each.startswith("admin/") and each not in {"admin/login/", "admin/logout/"}
    ):
        for thing in things.values():
            response, _ = visit(client, "get", address.replace("{}", str(thing.pk)))
            assert response.status_code in {302, 404}, address
            if response.status_code == 302:
                assert response["Location"].startswith(("/admin/login/", f"/{address}")), address


def test_looking_changes_nothing_even_for_the_owner(client: Client, things: dict[str, Any]) -> None:
    before = state()
    for address in EVERY:
        for method in ("get", "head", "options"):
            visit(client, method, address.replace("{}", str(things["query"].pk)))
    assert state() == before


def test_only_the_link_of_a_query_leads_to_it(client: Client, things: dict[str, Any]) -> None:
    link = things["query"].pk
    assert client.get(f"/q/{link}").status_code == 200
    near = uuid.UUID(int=link.int ^ 1)
    for address in ("/q/{}", "/q/{}/picture.jpg", "/api/queries/{}"):
        assert client.get(address.format(near)).status_code == 404
    for address in ("/q/", "/api/queries/", f"/q/{str(link)[:8]}", "/q/%", "/q/*"):
        assert client.get(address).status_code == 404


@pytest.mark.parametrize("who", ["visitor", "member"])
def test_a_hidden_picture_is_404_and_the_staff_sees_it(
    request: pytest.FixtureRequest, curator: Client, who: str, things: dict[str, Any]
) -> None:
    client: Client = request.getfixturevalue(who)
    hidden = things["hidden"]
    for address in (hidden.get_absolute_url(), hidden.picture_url, hidden.thumbnail_url):
        assert client.get(address).status_code == 404
        assert visit(curator, "get", address[1:])[0].status_code == 200
    assert client.post(f"/gallery/{hidden.pk}/like").status_code == 404
    assert client.get(f"/api/images/{hidden.pk}").status_code == 404


PATHS = [
    "simsearch.sqlite3",
    "simsearch.env",
    "run/supervisor.sock",
    "logs/web.log",
    "index/1/manifest.json",
    "weights/compact.safetensors",
    "pictures/gallery/{folder}/{image}.jpg",
    "media/gallery/{folder}/{image}.jpg",
    "gallery/{folder}/{image}.jpg",
    "_pictures/gallery/{folder}/{image}.jpg",
    "thumbnails/{folder}/{image}.jpg",
    "q/{image}/picture.jpg",
    ".git/config",
    "static/../simsearch.sqlite3",
    "static/%2e%2e/%2e%2e/etc/passwd",
    "gallery/../../etc/passwd",
    "gallery/{image}/..%2fpicture.jpg",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_file_has_an_address_of_its_own(client: Client, things: dict[str, Any], path: str) -> None:
    image = things["shown"]
    assert client.get("/" + path.format(image=image.pk, folder=image.pk.hex[:2])).status_code == 404


def test_every_form_of_the_site_wants_its_token(things: dict[str, Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    before = state()
    result = {}
    for address in (each for each in EVERY if not each.startswith("api/")):
        for known in (things["shown"].pk, things["query"].pk):
            response, _ = visit(client, "post", address.replace("{}", str(known)))
            result[address] = response.status_code
            assert response.status_code in {302, 403, 404, 405}, address
    assert result[""] == result["gallery/{}/like"] == result["q/{}/delete"] == result["admin/login/"] == 403
    assert state() == before


@pytest.mark.parametrize("who", ["visitor", "member", "curator"])
def test_no_client_writes_to_the_gallery_by_the_api_without_its_key(
    request: pytest.FixtureRequest, who: str, things: dict[str, Any], settings: Settings
) -> None:
    """Not even an account that may in the admin: its cookie comes along with what another site makes it send."""
    settings.SIMSEARCH_API_KEYS = ["a-key-of-the-gallery"]
    client: Client = request.getfixturevalue(who)
    before = state()
    for address in (each for each in EVERY if each.startswith("api/images")):
        for method in ("post", "put", "patch", "delete"):
            response, _ = visit(client, method, address.replace("{}", str(things["shown"].pk)))
            assert response.status_code in {401, 405}, (method, address)
    assert state() == before
