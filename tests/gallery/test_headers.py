"""The headers that guard every answer, and those of the pictures."""

import pytest
from django.conf import settings as configured
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from tests.api.answers import Response
from tests.gallery.elements import send
from tests.gallery.rows import STRANGER, add_image, decode, finished, picture
from tests.responses import end

pytestmark = pytest.mark.django_db


def policy(response: Response) -> dict[str, list[str]]:
    directives = (directive.split() for directive in response["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


def assert_guarded(response: Response) -> None:
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert policy(response)["default-src"] == ["'none'"]


@pytest.mark.parametrize(
    "address",
    ["/", "/gallery/", "/admin/login/", "/admin/", "/api/docs", "/api/openapi.json", "/api/images", "/healthz", "/x"],
)
def test_every_page_is_guarded(client: Client, address: str) -> None:
    assert_guarded(client.get(address))


def test_the_pages_of_a_query_and_of_a_picture_are_guarded(client: Client) -> None:
    image = add_image()
    for address in (f"/q/{finished(image).pk}", image.get_absolute_url(), f"/q/{STRANGER}", f"/api/queries/{STRANGER}"):
        assert_guarded(client.get(address))


def test_refusals_are_guarded(client: Client, settings: Settings) -> None:
    assert_guarded(send(client, b"no picture"))
    assert_guarded(send(Client(enforce_csrf_checks=True), b""))
    assert_guarded(client.get("/", headers={"Host": "elsewhere.example"}))
    settings.SIMSEARCH_MAX_BODY_BYTES = 10
    assert_guarded(send(client, bytes(100)))


def test_the_desk_is_guarded(curator: Client) -> None:
    assert_guarded(curator.get("/admin/"))
    assert_guarded(curator.get("/admin/gallery/image/add/"))


def test_the_policy_lets_nothing_run_that_is_not_a_file_of_ours(client: Client) -> None:
    assert policy(client.get("/")) == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.parametrize("prefix", ["", "/_pictures/"], ids=["sent by Django", "left to nginx"])
def test_pictures_are_jpegs_and_nothing_else(client: Client, settings: Settings, prefix: str) -> None:
    settings.SIMSEARCH_ACCEL_PREFIX = prefix
    image = add_image()
    query = send(client, picture())["Location"]
    assert client.get(f"{query}/picture.jpg").status_code == 404  # what was uploaded is never sent
    decode(Query.objects.get())
    for address in (image.picture_url, image.thumbnail_url, f"{query}/picture.jpg"):
        response = client.get(address)
        assert (response.status_code, response["Content-Type"]) == (200, "image/jpeg")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert policy(response) == {"default-src": ["'none'"], "sandbox": []}
        end(response)


def test_machines_are_answered_by_plain_http_where_people_are_sent_to_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = configured.SECURE_REDIRECT_EXEMPT
    assert {address: client.get(address).status_code for address in ("/healthz", "/metrics", "/staff", "/")} == {
        "/healthz": 200,
        "/metrics": 200,
        "/staff": 401,
        "/": 301,
    }
