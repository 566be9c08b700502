"""GET /api/images/<id>, and the files behind its addresses."""

import io
from pathlib import Path

import PIL.Image
import pytest
from django.test import Client

from tests.api.answers import error_code, file
from tests.gallery.rows import STRANGER, add_image

pytestmark = pytest.mark.django_db


def test_a_picture_is_described(client: Client) -> None:
    image = add_image(label="noise", title="grey")
    response = client.get(f"/api/images/{image.pk}")
    assert response.status_code == 200
    assert response.json() == {
        "id": str(image.pk),
        "url": f"/gallery/{image.pk}/picture.jpg",
        "thumbnail_url": f"/gallery/{image.pk}/thumbnail.jpg",
        "label": "noise",
        "title": "grey",
    }


@pytest.mark.parametrize("which", ["url", "thumbnail_url"])
def test_its_addresses_lead_to_jpegs(client: Client, which: str) -> None:
    image = add_image()
    response = client.get(client.get(f"/api/images/{image.pk}").json()[which])
    assert (response.status_code, response["Content-Type"]) == (200, "image/jpeg")
    with PIL.Image.open(io.BytesIO(file(response))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (48, 32))


@pytest.mark.parametrize("end", ["picture.jpg", "thumbnail.jpg"])
def test_a_lost_file_is_not_found(client: Client, end: str) -> None:
    image = add_image()
    for path in (image.picture_file.path, image.thumbnail_file.path):
        Path(path).unlink()
    assert client.get(f"/gallery/{image.pk}/{end}").status_code == 404


def test_a_hidden_picture_is_not_found(client: Client) -> None:
    image = add_image(is_hidden=True)
    response = client.get(f"/api/images/{image.pk}")
    assert (response.status_code, error_code(response)) == (404, "not_found")
    assert client.get(image.picture_url).status_code == 404


@pytest.mark.parametrize("name", [str(STRANGER), "1", "not-a-uuid"])
def test_a_picture_that_never_was_is_not_found(client: Client, name: str) -> None:
    response = client.get(f"/api/images/{name}")
    assert (response.status_code, error_code(response)) == (404, "not_found")
