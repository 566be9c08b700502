"""GET /api/queries/<uuid>."""

from typing import Any

import pytest
from django.test import Client

from gallery import queries
from gallery.models import Image, Query
from tests.api.answers import error_code
from tests.gallery.rows import STRANGER, add_image, answer, ask, finished

pytestmark = pytest.mark.django_db


def look_at(client: Client, query: Query) -> dict[str, Any]:
    response = client.get(f"/api/queries/{query.pk}")
    assert response.status_code == 200
    told: dict[str, Any] = response.json()
    return told


def test_a_finished_query_shows_its_matches(client: Client) -> None:
    images = [add_image(seed, title=f"picture {seed}", label="noise") for seed in (1, 2)]
    query = finished(*images, images=7, generation=3, network="compact-1234", timings_ms={"embed": 12.5})
    told = look_at(client, query)
    timings = told.pop("timings_ms")
    assert told == {
        "id": str(query.pk),
        "state": "done",
        "error": None,
        "waiting_ahead": 0,
        "poll_after_ms": None,
        "index": {"generation": 3, "model": "compact-1234", "images": 7},
        "matches": [
            {
                "rank": place + 1,
                "similarity": pytest.approx(1 - place / 10),
                "image": {
                    "id": str(image.pk),
                    "url": f"/gallery/{image.pk}/picture.jpg",
                    "thumbnail_url": f"/gallery/{image.pk}/thumbnail.jpg",
                    "label": "noise",
                    "title": f"picture {place + 1}",
                },
                "duplicates": [],
            }
            for place, image in enumerate(images)
        ],
    }
    assert timings["embed"] == 12.5
    assert 0 <= timings["accept"] <= timings["total"]


def test_a_waiting_query_knows_how_many_are_ahead(client: Client) -> None:
    third, first, second = (ask(age_s=age_s) for age_s in (0, 20, 10))
    told = [look_at(client, query) for query in (first, second, third)]
    assert [entry["state"] for entry in told] == ["waiting"] * 3
    assert [entry["waiting_ahead"] for entry in told] == [0, 1, 2]


def test_polls_become_rarer_with_age(client: Client) -> None:
    ages_s = (0, 5, 3600)
    told = [look_at(client, ask(age_s=age_s))["poll_after_ms"] for age_s in ages_s]
    assert told == [150, pytest.approx(1000, rel=0.2), 2000]


def test_a_running_query_says_so(client: Client) -> None:
    query = ask()
    queries.claim(1)
    told = look_at(client, query)
    assert (told["state"], told["waiting_ahead"], told["matches"], told["poll_after_ms"]) == ("running", 0, [], 150)


def test_a_failed_query_gives_its_reason(client: Client) -> None:
    query = ask()
    queries.fail(queries.claim(1).token, query, "corrupt", "The picture is damaged.")
    told = look_at(client, query)
    assert (told["state"], told["poll_after_ms"]) == ("failed", None)
    assert told["error"] == {"code": "corrupt", "message": "The picture is damaged."}


@pytest.mark.parametrize("way", ["hidden", "deleted"])
def test_a_picture_that_left_the_gallery_leaves_the_matches(client: Client, way: str) -> None:
    first, second = add_image(1), add_image(2)
    query = finished(first, second)
    if way == "hidden":
        Image.objects.filter(pk=first.pk).update(is_hidden=True)
    else:
        first.delete()
    assert [match["image"]["id"] for match in look_at(client, query)["matches"]] == [str(second.pk)]


def test_a_gallery_picture_asked_about_may_be_deleted_meanwhile(client: Client) -> None:
    image = add_image()
    query = queries.ask_like(image, queries.Question(), image.created_at)
    image.delete()
    assert look_at(client, query)["state"] == "waiting"


def test_an_answer_without_matches_is_an_answer(client: Client) -> None:
    query = ask()
    queries.finish(queries.claim(1).token, {query: answer()})
    told = look_at(client, query)
    assert (told["state"], told["matches"]) == ("done", [])


@pytest.mark.parametrize("name", [str(STRANGER), "1", "not-a-uuid"])
def test_a_query_that_never_was_is_not_found(client: Client, name: str) -> None:
    response = client.get(f"/api/queries/{name}")
    assert (response.status_code, error_code(response)) == (404, "not_found")
