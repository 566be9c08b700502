"""GET /api/docs: the description of the API, from our own files alone."""

import re

import pytest
from django.test import Client

from tests.api.answers import file

pytestmark = pytest.mark.django_db


def test_the_page_shows_the_api(client: Client) -> None:
    response = client.get("/api/docs")
    assert response.status_code == 200
    assert b"/api/openapi.json" in response.content


def test_every_call_is_described(client: Client) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    calls = {(method, path) for path, methods in paths.items() for method in methods}
    assert calls == {
        ("post", "/api/queries"),
        ("get", "/api/queries/{query_id}"),
        ("delete", "/api/queries/{query_id}"),
        ("get", "/api/images"),
        ("post", "/api/images"),
        ("get", "/api/images/{image_id}"),
        ("patch", "/api/images/{image_id}"),
        ("delete", "/api/images/{image_id}"),
    }


def test_calls_keep_the_names_that_clients_are_generated_from(client: Client) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    names = {call["operationId"] for methods in paths.values() for call in methods.values()}
    assert names == {
        "gallery_api_ask",
        "gallery_api_query",
        "gallery_api_withdraw",
        "gallery_api_images_images",
        "gallery_api_images_add",
        "gallery_api_images_image",
        "gallery_api_images_change",
        "gallery_api_images_remove",
    }
    links = paths["/api/queries"]["post"]["responses"]["202"]["links"]
    assert {link["operationId"] for link in links.values()} <= names


def test_its_assets_are_ours(client: Client) -> None:
    html = client.get("/api/docs").content.decode()
    addresses: list[str] = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]+)"', html)
    assert "//" not in html  # neither http:// nor https:// nor //host
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/static/")
        response = client.get(address)
        assert response.status_code == 200, address
        assert file(response)


@pytest.mark.parametrize("name", ["ninja/swagger-ui.css", "ninja/swagger-ui-init.js"])
def test_its_assets_call_no_other_host(client: Client, name: str) -> None:
    text = file(client.get(f"/static/{name}")).decode()
    assert not re.search(r"(?:@import|url\(|fetch\()\s*['\"]?(?:https?:)?//", text)
