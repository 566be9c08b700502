"""The pages of the gallery."""

import re

import pytest
from django.test import Client

from gallery.models import Image
from gallery.site.views import ORDERS, PAGE_SIZE
from gallery.text import kept_label
from tests.engine.pictures import encoded, noise
from tests.gallery.elements import HTMX, Elements, heading
from tests.gallery.rows import add_file, add_image

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
    assert len([option for option in page.of("option") if option["value"].startswith("kind")]) == 41
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
        if option["value"] not in ORDERS and not option["value"].startswith("kind")
    ]
    assert value == kept_label(label)
    assert image.thumbnail_url in client.get("/gallery/", {"label": value}).content.decode()


def test_an_unknown_label_leads_to_the_nearest_one(client: Client) -> None:
    add_image(label="water lily")
    text = client.get("/gallery/", {"label": "Water Lilly", "page": "2"}).content.decode()
    assert '<a href="?label=water+lily">Did you mean “water lily”?</a>' in text


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
    assert image.preview_url in page.values("src")
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
    image = add_file(encoded(noise(3000, 30), "PNG"))
    page = client.get(image.get_absolute_url())
    assert "mat long" in Elements(page).values("class")
    assert "Open all of it" in page.content.decode()
    assert "mat long" not in Elements(client.get(add_image().get_absolute_url())).values("class")


def test_a_label_that_no_database_keeps_is_an_empty_gallery(client: Client) -> None:
    add_image(label="cat")
    assert client.get("/gallery/", {"label": "d\0g"}).status_code == 200


def titles(client: Client, **asked: str) -> list[str]:
    """Return the titles that the gallery shows, in its order."""
    text = client.get("/gallery/", asked).content.decode()
    return re.findall(r'<span class="title">([^<]*)</span>', text)


@pytest.fixture
def four(client: Client) -> None:
    add_image(1, title="Évora at night", label="city")
    add_image(2, title="Night heron", label="birds")
    add_image(3, title="Quay", label="city_night")
    add_image(4, title="100% wool", label="things")


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("night", {"Évora at night", "Night heron", "Quay"}),
        ("EVORA", {"Évora at night"}),
        ("city night", {"Évora at night", "Quay"}),
        ("city_night", {"Évora at night", "Quay"}),
        ("%", {"100% wool"}),
        ("heron city", set()),
        ("", {"Évora at night", "Night heron", "Quay", "100% wool"}),
    ],
)
def test_the_gallery_is_searched_by_words(client: Client, words: str, found: set[str]) -> None:
    assert set(titles(client, q=words)) == found


@pytest.mark.usefixtures("four")
def test_words_and_a_label_narrow_together(client: Client) -> None:
    assert titles(client, q="night", label="city") == ["Évora at night"]
    page = Elements(client.get("/gallery/", {"q": "night", "label": "city", "sort": "title"}))
    assert {(field["name"], field["value"]) for field in page.of("input") if field.get("name") in {"q", "label"}} == {
        ("q", "night"),
        ("label", "city"),
    }
    assert "?q=night&label=birds&sort=title" in page.values("href")


@pytest.mark.usefixtures("four")
def test_the_gallery_is_sorted(client: Client) -> None:
    newest = ["100% wool", "Quay", "Night heron", "Évora at night"]
    assert titles(client) == titles(client, sort="nonsense") == newest
    assert titles(client, sort="oldest") == newest[::-1]
    assert titles(client, sort="title") == ["100% wool", "Évora at night", "Night heron", "Quay"]
    assert titles(client, sort="label") == ["Night heron", "Évora at night", "Quay", "100% wool"]


def test_words_that_nothing_has_get_a_sentence(client: Client) -> None:
    add_image(title="Quay")
    text = client.get("/gallery/", {"q": "<zebra>\0"}).content.decode()
    assert "No picture has “&lt;zebra&gt;” in its title or label." in text


def test_scrolling_gets_the_next_page_alone(client: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label="a & b", width_px=4, height_px=3) for number in range(PAGE_SIZE + 2)
    )
    first = Elements(client.get("/gallery/", {"label": "a & b"}))
    assert first.values("hx-get") == ["?label=a+%26+b&page=2"]
    second = client.get("/gallery/", {"label": "a & b", "page": "2"}, headers=HTMX)
    assert "<html" not in second.content.decode()
    assert len(Elements(second).of("li")) == 2
    assert Elements(second).values("hx-get") == []


def test_a_shared_link_of_a_picture_has_a_preview(client: Client) -> None:
    image = add_image(title="Quay")
    shared = {
        meta["property"]: meta["content"]
        for meta in Elements(client.get(image.get_absolute_url())).of("meta")
        if "property" in meta
    }
    assert shared["og:title"] == "Quay"
    assert shared["og:image"] == f"http://testserver{image.preview_url}"
