"""The pages of the gallery."""

import io

import pytest
from django.test import Client

from gallery.curation import importing
from gallery.models import Image
from gallery.site.views import PAGE_SIZE
from gallery.text import kept_label
from tests.engine.pictures import encoded, noise
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


@pytest.mark.parametrize("label", ["water  lily", " lily", "lily ", "water\tlily", "a\u00a0b", 'the "lily" <b>'])
def test_a_label_with_unusual_white_space_can_be_chosen_from_the_list(client: Client, label: str) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label=f"kind {number}", width_px=4, height_px=3) for number in range(41)
    )
    image = Image.objects.create(content_hash="odd", label=label, width_px=4, height_px=3)
    [value] = [
        option["value"]
        for option in Elements(client.get("/gallery/")).of("option")
        if "ily" in option["value"] or "b" in option["value"]
    ]
    assert value == kept_label(label)
    assert image.thumbnail_url in client.get("/gallery/", {"label": value}).content.decode()


def test_an_unknown_label_leads_to_the_nearest_one(client: Client) -> None:
    add_image(label="water lily")
    text = client.get("/gallery/", {"label": "Water Lilly", "page": "2"}).content.decode()
    assert 'Did you mean <a href="?label=water+lily">water lily</a>?' in text


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


def test_labels_are_shown_in_words(client: Client) -> None:
    image = add_image(label="water_lilly", title="001")
    for address in ("/gallery/", "/gallery/?label=water_lilly", image.get_absolute_url()):
        text = client.get(address).content.decode()
        assert "water lilly" in text
        assert ">water_lilly" not in text
        assert "label=water_lilly" in text


@pytest.mark.parametrize(
    ("title", "label", "shown"),
    [
        ("001", "water_lilly", "water lilly"),
        ("IMG_0042", "water_lilly", "water lilly"),
        ("DSC01234", "clock", "clock"),
        ("2024-05-03 12.04", "clock", "clock"),
        ("Tower clock 3", "clock", "Tower clock 3"),
        ("001", "", "001"),
        ("", "", "Untitled"),
    ],
)
def test_a_number_is_no_name(client: Client, title: str, label: str, shown: str) -> None:
    assert heading(client.get(add_image(title=title, label=label).get_absolute_url())) == shown


def test_a_picture_has_a_way_back_and_can_be_opened(client: Client) -> None:
    image = add_image(label="water_lilly")
    links = [link["href"] for link in Elements(client.get(image.get_absolute_url())).of("a")]
    assert links.index("/gallery/?label=water_lilly") > links.index("/gallery/")
    assert image.picture_url in links


def test_a_very_long_picture_is_shown_by_its_middle(client: Client) -> None:
    image = importing.add(io.BytesIO(encoded(noise(3000, 30), "PNG")))
    page = client.get(image.get_absolute_url())
    assert "mat long" in Elements(page).values("class")
    assert "Open all of it" in page.content.decode()
    assert "mat long" not in Elements(client.get(add_image().get_absolute_url())).values("class")


def test_a_label_that_no_database_keeps_is_an_empty_gallery(client: Client) -> None:
    add_image(label="cat")
    assert client.get("/gallery/", {"label": "d\0g"}).status_code == 200
