"""GET /api/images."""

import hashlib
from typing import Any

import pytest
from django.test import Client

from gallery.models import Image
from tests.api.answers import error_code
from tests.gallery.rows import ago

pytestmark = pytest.mark.django_db


def rows(*names: str, **fields: Any) -> None:
    """Pictures without files, the first the oldest; no call here looks at pixels."""
    before = Image.objects.count()
    Image.objects.bulk_create(
        Image(
            title=name,
            content_hash=hashlib.sha256(name.encode()).hexdigest(),
            width_px=48,
            height_px=32,
            created_at=ago(1000 - before - place),
            **fields,
        )
        for place, name in enumerate(names)
    )


def listing(client: Client, **parameters: Any) -> dict[str, Any]:
    response = client.get("/api/images", parameters)
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def titles(body: dict[str, Any]) -> list[str]:
    return [entry["title"] for entry in body["images"]]


def test_the_newest_pictures_come_first(client: Client) -> None:
    rows("old", "new", label="cat")
    messages = listing(client)
    image = Image.objects.get(title="new")
    assert (messages["page"], messages["pages"], messages["count"]) == (1, 1, 2)
    assert titles(messages) == ["new", "old"]
    assert messages["images"][0] == {
        "id": str(image.pk),
        "url": f"/gallery/{image.pk}/picture.jpg",
        "thumbnail_url": f"/gallery/{image.pk}/thumbnail.jpg",
        "label": "cat",
        "title": "new",
    }


def test_an_empty_gallery_is_one_empty_page(client: Client) -> None:
    assert listing(client) == {"page": 1, "pages": 1, "count": 0, "images": []}


def test_a_label_chooses(client: Client) -> None:
    rows("tom", "felix", label="cat")
    rows("rex", label="dog")
    assert titles(listing(client, label="cat")) == ["felix", "tom"]


def test_an_unknown_label_is_refused_with_the_nearest_one(client: Client) -> None:
    rows("rex", label="dog")
    response = client.get("/api/images", {"label": "dogs"})
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert response.json()["error"]["message"] == "No picture has the label 'dogs'; the nearest label is 'dog'."
    assert client.get("/api/images", {"label": ""}).json()["count"] == 1


def test_a_hidden_picture_is_not_listed(client: Client) -> None:
    rows("seen")
    rows("hidden", is_hidden=True)
    assert titles(listing(client)) == ["seen"]


def test_a_page_holds_a_hundred(client: Client) -> None:
    rows(*(f"{number:03}" for number in range(101)))
    first, second, third = (listing(client, page=page) for page in (1, 2, 3))
    assert [len(result["images"]) for result in (first, second, third)] == [100, 1, 0]
    assert titles(second) == ["000"]
    assert (second["page"], second["pages"], second["count"]) == (2, 2, 101)


@pytest.mark.parametrize("page", ["0", "-1", "two"])
def test_a_page_is_a_number_from_one(client: Client, page: str) -> None:
    response = client.get("/api/images", {"page": page})
    assert (response.status_code, error_code(response)) == (422, "invalid")


def test_a_label_that_no_database_keeps_is_refused(client: Client) -> None:
    response = client.get("/api/images", {"label": "a\0b"})
    assert (response.status_code, error_code(response)) == (422, "invalid")
