"""Methods that a call does not have: HEAD is GET without its body, OPTIONS names the methods, the rest is an error."""

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Image, Query
from tests.api.answers import error_code
from tests.gallery.rows import STRANGER, add_image, ask
from tests.stack import Stack

pytestmark = pytest.mark.django_db

METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"}
CALLS = {
    "/api/queries": "POST",
    f"/api/queries/{STRANGER}": "DELETE, GET, HEAD",
    "/api/images": "GET, HEAD, POST",
    f"/api/images/{STRANGER}": "DELETE, GET, HEAD, PATCH",
    "/api/docs": "GET, HEAD",
    "/api/openapi.json": "GET, HEAD",
}


@pytest.mark.parametrize(("address", "allowed"), CALLS.items())
def test_a_method_that_a_call_does_not_have_is_an_error_that_names_those_it_has(
    client: Client, address: str, allowed: str
) -> None:
    for method in METHODS - set(allowed.split(", ")) - {"OPTIONS"}:
        response = client.generic(method, address)
        assert (response.status_code, response["Allow"]) == (405, allowed), method
        assert response["Content-Type"] == "application/json"
        if method != "HEAD":
            assert error_code(response) == "method_not_allowed"
            assert allowed.replace(", ", " or ") in response.json()["error"]["message"]


@pytest.mark.parametrize(("address", "allowed"), CALLS.items())
def test_options_names_the_methods(client: Client, address: str, allowed: str) -> None:
    response = client.options(address)
    assert (response.status_code, response["Allow"], response.content) == (204, allowed, b"")


def test_head_is_get_without_a_body(client: Client) -> None:
    image, query = add_image(), ask()
    for address in (f"/api/images/{image.pk}", f"/api/queries/{query.pk}", "/api/images", "/api/docs"):
        head, get = client.head(address), client.get(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head["Content-Type"] == get["Content-Type"]
    assert client.head(f"/api/images/{STRANGER}").status_code == 404


def test_a_wrong_method_changes_nothing(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_API_KEYS = ["key"]
    add_image(), ask()
    client.delete("/api/images", headers={"Authorization": "Bearer key"})
    client.put("/api/queries", b"{}", "application/json")
    assert (Image.objects.count(), Query.objects.count()) == (1, 1)


def test_a_server_sends_no_body_to_head(stack: Stack) -> None:
    response = stack.client.head("/api/images")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(stack.client.get("/api/images").content)
