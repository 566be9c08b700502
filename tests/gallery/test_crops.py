"""A part of the picture of a finished search is a search of its own, and its frame is in the link."""

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from tests.gallery.elements import Elements, alert
from tests.gallery.rows import add_image, ask, finished, set_row

pytestmark = pytest.mark.django_db

FRAME = "0.1,0.2,0.5,0.25"


def framed(client: Client, query: Query, crop: str = FRAME) -> Query:
    """Let go of that frame; the query that it made."""
    response = client.post(f"/q/{query.pk}/refine", {"crop": crop})
    assert response.status_code == 303, response.content.decode()
    made = Query.objects.exclude(pk=query.pk).get(pk=response["Location"].split("/")[2].partition("?")[0])
    assert response["Location"] == f"/q/{made.pk}" + (f"?crop={crop}" if made.crop else "")
    return made


def test_a_frame_searches_for_that_part(client: Client) -> None:
    first = finished(add_image(), query=ask(k=20, labels=("cat",)))
    query = framed(client, first)
    assert (query.state, query.crop, query.k, query.labels) == ("waiting", [0.1, 0.2, 0.5, 0.25], 20, ["cat"])
    assert query.picture_file.path.read_bytes() == first.picture_file.path.read_bytes()


def test_a_part_of_a_gallery_picture_is_searched(client: Client) -> None:
    image = add_image()
    client.post(f"/gallery/{image.pk}/like")
    query = framed(client, finished(add_image(2), query=Query.objects.get()))
    assert (query.like, query.has_picture, query.crop) == (image, False, [0.1, 0.2, 0.5, 0.25])


def test_the_link_of_a_frame_shows_its_own_search(client: Client) -> None:
    query = framed(client, finished(add_image()))
    finished(add_image(2), query=query)
    page = client.get(f"/q/{query.pk}", {"crop": FRAME})
    assert page.status_code == 200
    assert FRAME in Elements(page).values("data-crop")
    assert Query.objects.count() == 2


def test_the_whole_picture_is_one_click_away(client: Client) -> None:
    first = finished(add_image())
    query = finished(add_image(2), query=framed(client, first))
    assert offered(client, query) == ["0,0,1,1"]
    assert framed(client, query, "0,0,1,1").crop is None
    assert offered(client, first) == []


def offered(client: Client, query: Query, crop: str = "") -> list[str]:
    """Return the parts that the page of a link has buttons for."""
    page = Elements(client.get(f"/q/{query.pk}", {"crop": crop} if crop else {}))
    return [attributes["value"] for attributes in page.of("button") if attributes.get("name") == "crop"]


@pytest.mark.parametrize("crop", ["", "x", "0,0,2,1", "nan,0,1,1", "0.5,0.5,0,0.1", "0,0,0.5", "\0"])
def test_a_frame_that_is_none_makes_no_search(client: Client, crop: str) -> None:
    query = finished(add_image())
    response = client.get(f"/q/{query.pk}", {"crop": crop})
    assert Query.objects.count() == 1
    assert response.status_code == (200 if crop == "" else 422)
    if crop:
        assert "four fractions" in alert(response)


@pytest.mark.parametrize("headers", [{}, {"Sec-Purpose": "prefetch"}], ids=["", "prefetch"])
def test_a_link_to_another_part_offers_a_search_and_makes_none(client: Client, headers: dict[str, str]) -> None:
    query = finished(add_image(), query=ask(crop=(0, 0, 0.5, 1)))
    page = client.get(f"/q/{query.pk}", {"crop": FRAME}, headers=headers)
    assert page.status_code == 200
    assert "names another part" in page.content.decode()
    assert Query.objects.count() == 1
    assert offered(client, query, FRAME) == [FRAME, "0,0,1,1"]
    robots = [attributes["content"] for attributes in Elements(page).of("meta") if attributes.get("name") == "robots"]
    assert robots == ["noindex, nofollow"]


def test_a_search_without_a_result_is_not_searched_in_parts(client: Client) -> None:
    query = ask()
    assert client.get(f"/q/{query.pk}", {"crop": FRAME}).status_code == 200
    set_row(query, state="failed", error="The picture is damaged.")
    assert client.get(f"/q/{query.pk}", {"crop": FRAME}).status_code == 200
    assert Query.objects.count() == 1


def test_a_look_at_the_headers_makes_no_search(client: Client) -> None:
    query = finished(add_image())
    assert client.head(f"/q/{query.pk}", {"crop": FRAME}).status_code == 200
    assert Query.objects.count() == 1


def test_frames_are_limited_as_uploads_are(client: Client, settings: Settings) -> None:
    query = finished(add_image())
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 1
    framed(client, query)
    response = client.post(f"/q/{query.pk}/refine", {"crop": "0,0,0.5,1"})
    assert response.status_code == 429
    assert "wait" in alert(response)


def test_a_short_link_has_a_rounded_frame(client: Client) -> None:
    query = finished(add_image(), query=ask(crop=(1 / 3, 0, 1 / 3, 1)))
    page = client.get(f"/q/{query.pk}", {"crop": "0.3333,0,0.3333,1"})
    assert page.status_code == 200
    assert "0.3333,0,0.3333,1" in Elements(page).values("data-crop")
