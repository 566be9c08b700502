"""The map: for the staff or for everybody, without what is hidden."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from gallery.models import Image, MapPoint
from tests.gallery.elements import Elements
from tests.gallery.rows import add_image, finished
from tests.gallery.test_duplicates_page import staff

pytestmark = pytest.mark.django_db
PAGE, POINTS = "/map/", "/map/points.json"


def placed(seed: int, x: float = 0.5, y: float = 0.25, label: str = "") -> Image:
    image = add_image(seed, label=label)
    MapPoint.objects.create(image=image, x=x, y=y)
    return image


def test_the_staff_see_the_places_of_visible_pictures() -> None:
    cat, other = placed(1, label="cat"), placed(2, x=0.123456789)
    hidden = placed(3, label="dog")
    Image.objects.filter(pk=hidden.pk).update(is_hidden=True)
    client = staff()
    assert client.get(POINTS).json() == {
        "labels": ["", "cat"],
        "points": [[other.pk.hex, 0.12346, 0.25, 0], [cat.pk.hex, 0.5, 0.25, 1]],
    }
    assert "2 pictures" in client.get(PAGE).content.decode()


def test_the_places_are_read_once_and_sent_once(
    visitor: Client, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "map"}}
    settings.SIMSEARCH_PUBLIC_MAP = True
    one, two = placed(1), placed(2, x=0.75)
    first = visitor.get(POINTS)
    assert first["Cache-Control"] == "private, no-cache"
    with django_assert_num_queries(1):  # the sums that tell whether anything has changed
        assert visitor.get(POINTS).content == first.content
    assert visitor.get(POINTS, headers={"If-None-Match": first["ETag"]}).status_code == 304
    Image.objects.filter(pk=two.pk).update(is_hidden=True)
    changed = visitor.get(POINTS, headers={"If-None-Match": first["ETag"]})
    assert [point[0] for point in changed.json()["points"]] == [one.pk.hex]
    MapPoint.objects.filter(pk=one.pk).update(x=0.25)  # as a map that is drawn anew
    assert visitor.get(POINTS).json()["points"] == [[one.pk.hex, 0.25, 0.25, 0]]


def test_visitors_see_it_where_the_setting_says_so(visitor: Client, member: Client, settings: Settings) -> None:
    placed(1)
    for client in (visitor, member):
        assert client.get(PAGE)["Location"] == "/admin/login/?next=/map/"
        assert client.get(POINTS).status_code == 404
    settings.SIMSEARCH_PUBLIC_MAP = True
    for client in (visitor, member):
        assert client.get(PAGE).status_code == 200
        assert len(client.get(POINTS).json()["points"]) == 1


def test_pages_lead_to_a_public_map_alone(visitor: Client, settings: Settings) -> None:
    query = finished(placed(1))
    addresses = [f"/map/?query={query.pk}", "/map/"]
    pages = [query.get_absolute_url(), "/gallery/"]
    assert not {"/map/", *addresses} & {href for page in pages for href in Elements(visitor.get(page)).values("href")}
    settings.SIMSEARCH_PUBLIC_MAP = True
    for page, address in zip(pages, addresses, strict=True):
        assert address in Elements(visitor.get(page)).values("href")


def test_a_gallery_without_a_map_says_so(curator: Client) -> None:
    assert "not drawn yet" in curator.get(PAGE).content.decode()
    assert curator.get(POINTS).json() == {"labels": [], "points": []}


def test_the_admin_has_the_map_drawn(curator: Client) -> None:
    assert "Draw the map" in curator.get("/admin/map/").content.decode()
    assert staff().get("/admin/map/").status_code == 403
