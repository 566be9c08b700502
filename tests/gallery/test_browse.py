"""The pages of the gallery."""

import pytest
from django.test import Client

from gallery.models import Image
from gallery.site.views import PAGE_SIZE
from tests.gallery.elements import Elements, heading
from tests.gallery.rows import add_image

pytestmark = pytest.mark.django_db


def test_the_gallery_has_pages(client: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label="a & b", width_px=4, height_px=3) for number in range(PAGE_SIZE + 2)
    )
    first, second = (Elements(client.get("/gallery/", {"page": page, "label": "a & b"})) for page in (1, 2))
    assert [len(page.values("formaction")) for page in (first, second)] == [PAGE_SIZE, 2]
    assert [link["href"] for link in first.of("a") if link.get("rel") == "next"] == ["?page=2&label=a+%26+b"]
    assert [link["href"] for link in second.of("a") if link.get("rel") == "prev"] == ["?page=1&label=a+%26+b"]


def test_nothing_jumps_while_the_gallery_loads(client: Client) -> None:
    image = add_image()
    pictures = Elements(client.get("/gallery/")).of("img")
    assert [(shown["width"], shown["height"]) for shown in pictures] == [(str(image.width_px), str(image.height_px))]
    assert pictures[0]["alt"]


def test_the_gallery_can_be_narrowed_to_a_label(client: Client) -> None:
    cat, dog = add_image(1, label="cat"), add_image(2, label="dog")
    add_image(3, label="secret", is_hidden=True)
    text = client.get("/gallery/", {"label": "cat"}).content.decode()
    assert cat.thumbnail_url in text
    assert dog.thumbnail_url not in text
    assert "label=dog" in text
    assert "secret" not in text


def test_many_labels_become_a_list_to_choose_from(client: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label=f"kind {number}", width_px=4, height_px=3) for number in range(41)
    )
    page = Elements(client.get("/gallery/", {"label": "kind 7"}))
    assert len(page.of("option")) == 42
    assert len(page.values("selected")) == 1


def test_an_empty_gallery_says_how_to_fill_it(client: Client) -> None:
    text = client.get("/gallery/").content.decode()
    assert "make run PHOTOS=" in text
    assert "manage.py import_images" in text
    assert "still empty" in client.get("/").content.decode()


def test_a_gallery_picture_has_a_page(client: Client) -> None:
    image = add_image(label="cat", title="Tom & Jerry")
    response = client.get(image.get_absolute_url())
    assert heading(response) == "Tom &amp; Jerry"
    page = Elements(response)
    assert image.picture_url in page.values("src")
    assert f"/gallery/{image.pk}/like" in page.values("action")


def test_a_label_that_no_database_keeps_is_an_empty_gallery(client: Client) -> None:
    add_image(label="cat")
    assert client.get("/gallery/", {"label": "d\0g"}).status_code == 200
