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
    """Follow the link with that frame; the query that it made."""
    response = client.get(f"/q/{query.pk}", {"crop": crop})
    assert response.status_code == 303, response.content.decode()
    made = Query.objects.exclude(pk=query.pk).get(pk=response["Location"].split("/")[2].partition("?")[0])
    assert response["Location"] == f"/q/{made.pk}" + (f"?crop={crop}" if made.crop else "")
    return made


def test_a_frame_in_the_link_searches_for_that_part(client: Client) -> None:
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
    [link] = [link for link in Elements(client.get(f"/q/{query.pk}")).values("href") if "crop=" in link]
    assert framed(client, query, link.removeprefix("?crop=")).crop is None
    assert client.get(f"/q/{first.pk}{link}")["Location"] == f"/q/{first.pk}"  # it is the whole picture already


@pytest.mark.parametrize("crop", ["", "x", "0,0,2,1", "nan,0,1,1", "0.5,0.5,0,0.1", "0,0,0.5", "\0"])
def test_a_frame_that_is_none_makes_no_search(client: Client, crop: str) -> None:
    query = finished(add_image())
    response = client.get(f"/q/{query.pk}", {"crop": crop})
    assert Query.objects.count() == 1
    assert response.status_code == (200 if crop == "" else 422)
    if crop:
        assert "four fractions" in alert(response)


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
    response = client.get(f"/q/{query.pk}", {"crop": "0,0,0.5,1"})
    assert response.status_code == 429
    assert "wait" in alert(response)


def test_a_short_link_has_a_rounded_frame(client: Client) -> None:
    query = finished(add_image(), query=ask(crop=(1 / 3, 0, 1 / 3, 1)))
    page = client.get(f"/q/{query.pk}", {"crop": "0.3333,0,0.3333,1"})
    assert page.status_code == 200
    assert "0.3333,0,0.3333,1" in Elements(page).values("data-crop")
