"""GET /api/queries/<uuid>."""

import io
import math
from datetime import datetime
from typing import Any, get_args

import pytest
from django.test import Client
from django.utils import timezone

from gallery.api.queries import MatchOut, QueryOut
from gallery.models import Band, Image, Query
from gallery.queries import accept, lifecycle, waiting
from gallery.queries.lifecycle import LISTED
from gallery.results import matches
from gallery.timings import Stopwatch, in_ms
from tests.api.answers import error_code
from tests.gallery.rows import STRANGER, add_image, ago, answer, ask, finish, finished, in_state, picture, set_row

pytestmark = pytest.mark.django_db


def look_at(client: Client, query: Query) -> dict[str, Any]:
    response = client.get(f"/api/queries/{query.pk}")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def look_between(client: Client, query: Query, began: datetime) -> tuple[int, int, int]:
    """When to poll again, between how long ago it began before that was asked, and after; all in ms."""
    before = in_ms(timezone.now() - began)
    result: int = look_at(client, query)["poll_after_ms"]
    return math.floor(before), result, math.ceil(in_ms(timezone.now() - began)) + 1  # they are rounded


def test_a_removed_match_is_counted(client: Client) -> None:
    gone, kept = add_image(1), add_image(2)
    query = finished(gone, kept)
    gone.delete()
    result = look_at(client, query)
    assert ([match["image"]["id"] for match in result["matches"]], result["removed"]) == ([str(kept.pk)], 1)


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed"])
def test_no_cache_keeps_an_answer(client: Client, state: str) -> None:
    query, _ = in_state(state)
    for known in (query.pk, STRANGER):
        assert client.get(f"/api/queries/{known}")["Cache-Control"] == "no-store"


def test_a_finished_query_shows_its_matches(client: Client) -> None:
    images = [add_image(seed, title=f"picture {seed}", label="noise") for seed in (1, 2)]
    query = finished(*images, images=7, generation=3, model_id="efficientnet_lite0-1234", stages_ms={"embed": 12.5})
    result = look_at(client, query)
    timings = result.pop("timings_ms")
    assert result == {
        "id": str(query.pk),
        "state": "done",
        "error": None,
        "incomplete": False,
        "waiting_ahead": 0,
        "poll_after_ms": None,
        "index": {"generation": 3, "model": "efficientnet_lite0-1234", "images": 7},
        "matches": [
            {
                "rank": place + 1,
                "similarity": pytest.approx(1 - place / 10),
                "band": "similar",
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
        "removed": 0,
    }
    assert timings["embed"] == 12.5
    assert 0 <= timings["accept"] <= timings["total"]


def test_answers_of_any_length_share_a_few_statements(client: Client) -> None:
    images = [add_image(seed) for seed in range(9)]
    before = matches._select.cache_info().currsize
    for count in range(1, 10):
        found = [match["image"]["id"] for match in look_at(client, finished(*images[:count]))["matches"]]
        assert found == [str(image.pk) for image in images[:count]]
    assert matches._select.cache_info().currsize - before <= 5  # for 1, 2, 4, 8 and 16 pictures


@pytest.mark.parametrize("is_incomplete", [True, False])
def test_an_incomplete_file_is_reported(client: Client, is_incomplete: bool) -> None:
    query = finished(add_image(1))
    if is_incomplete:
        set_row(query, is_incomplete=True)
    assert look_at(client, query)["incomplete"] is is_incomplete


def test_the_timings_name_the_parts_of_an_upload(client: Client) -> None:
    accepted = client.post("/api/queries", {"image": io.BytesIO(picture())})
    query = Query.objects.get(pk=accepted.json()["id"])
    timings = look_at(client, query)["timings_ms"]
    assert set(timings) == {"accept", "parse", "throttle", "check", "keep"}
    accept = timings.pop("accept")
    assert sum(timings.values()) == pytest.approx(accept, abs=1)  # all tenths


def test_a_waiting_query_knows_how_many_are_ahead(client: Client) -> None:
    third, first, second = (ask(age_s=age_s) for age_s in (0, 20, 10))
    messages = [look_at(client, query) for query in (first, second, third)]
    assert [entry["state"] for entry in messages] == ["waiting"] * 3
    assert [entry["waiting_ahead"] for entry in messages] == [0, 1, 2]


def test_a_query_with_nothing_ahead_is_polled_after_the_time_of_one_search(client: Client) -> None:
    first = ask()
    assert look_at(client, first)["poll_after_ms"] == pytest.approx(1000 * (waiting.USUAL_S + waiting.WAKE_S), abs=1)
    lifecycle.withdraw(first.pk)
    set_row(finished(), claimed_at=ago(0.112), finished_at=ago(0.1))
    assert look_at(client, ask())["poll_after_ms"] == pytest.approx(12 + 1000 * waiting.WAKE_S, abs=2)


@pytest.mark.parametrize(("ahead", "after_ms"), [(2, 200), (8, 800), (30, waiting.LAST_POLL_MS)])
def test_a_poll_comes_when_those_ahead_are_answered_and_a_batch_more(client: Client, ahead: int, after_ms: int) -> None:
    set_row(finished(), claimed_at=ago(0.2), finished_at=ago(0.1))  # ten a second
    for _ in range(ahead):
        ask(age_s=0.01)
    due_ms = min(waiting.LAST_POLL_MS, after_ms + 100 + 1000 * waiting.WAKE_S)
    assert look_at(client, ask())["poll_after_ms"] == pytest.approx(due_ms, rel=0.02)


def test_what_runs_is_ahead_too(client: Client) -> None:
    set_row(finished(), claimed_at=ago(0.2), finished_at=ago(0.1))
    ask(1)
    ask(2)
    lifecycle.claim(2)
    result = look_at(client, ask())
    assert (result["waiting_ahead"], result["poll_after_ms"]) == (0, pytest.approx(308, rel=0.02))


def test_a_batch_that_runs_is_polled_when_it_ends(client: Client) -> None:
    set_row(finished(), claimed_at=ago(0.2), finished_at=ago(0.1))
    queries = [ask(number) for number in range(10)]
    lifecycle.claim(10)
    began = ago(0.4)
    set_row(queries[0], claimed_at=began)
    least, result, most = look_between(client, queries[0], began)
    assert 1000 - most - 1 <= result <= 1000 - least + 1


def test_an_old_query_is_polled_less_often(client: Client) -> None:
    set_row(query := ask(), created_at=ago(4))
    assert look_at(client, query)["poll_after_ms"] == pytest.approx(4000 * waiting.POLL_SHARE, rel=0.1)
    set_row(query, created_at=ago(60))
    assert look_at(client, query)["poll_after_ms"] == waiting.LAST_POLL_MS


def test_a_running_query_says_so(client: Client) -> None:
    query = ask()
    lifecycle.claim(1)
    result = look_at(client, query)
    assert (result["state"], result["waiting_ahead"], result["matches"]) == ("running", 0, [])
    assert waiting.FIRST_POLL_MS <= result["poll_after_ms"] <= 50


def test_a_failed_query_gives_its_reason(client: Client) -> None:
    query = ask()
    lifecycle.fail(lifecycle.claim(1).token, query, "corrupt", "The picture is damaged.")
    result = look_at(client, query)
    assert (result["state"], result["poll_after_ms"]) == ("failed", None)
    assert result["error"] == {"code": "corrupt", "message": "The picture is damaged."}


@pytest.mark.parametrize("way", ["hidden", "deleted"])
def test_a_picture_that_left_the_gallery_leaves_the_matches(client: Client, way: str) -> None:
    first, second = add_image(1), add_image(2)
    query = finished(first, second)
    if way == "hidden":
        Image.objects.filter(pk=first.pk).update(is_hidden=True)
    else:
        first.delete()
    assert [match["image"]["id"] for match in look_at(client, query)["matches"]] == [str(second.pk)]


def test_a_gallery_picture_searched_for_may_be_deleted_during_the_search(client: Client) -> None:
    image = add_image()
    query = accept.store(accept.Pictures(like=[image]), accept.Parameters(), Stopwatch(image.created_at))
    image.delete()
    assert look_at(client, query)["state"] == "waiting"


def test_an_answer_without_matches_is_an_answer(client: Client) -> None:
    query = ask()
    finish(lifecycle.claim(1).token, {query: answer()})
    result = look_at(client, query)
    assert (result["state"], result["matches"]) == ("done", [])


@pytest.mark.parametrize("name", [str(STRANGER), "1", "not-a-uuid"])
def test_a_query_that_never_was_is_not_found(client: Client, name: str) -> None:
    response = client.get(f"/api/queries/{name}")
    assert (response.status_code, error_code(response)) == (404, "not_found")


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed"])
def test_answers_match_the_schema(client: Client, state: str) -> None:
    result = look_at(client, in_state(state)[0])
    assert QueryOut.model_validate(result).model_dump(mode="json") == result


@pytest.mark.parametrize("band", [*get_args(Band), None])
def test_matches_match_the_schema(client: Client, band: Band | None) -> None:
    result = look_at(client, finished(add_image(1), add_image(2), band=band))["matches"]
    assert [match["band"] for match in result] == [band, band]
    assert [MatchOut.model_validate(match).model_dump(mode="json") for match in result] == result


def test_a_match_of_a_version_before_has_no_band(client: Client) -> None:
    image = add_image()
    set_row(query := finished(), matches=[{"image": str(image.pk), "similarity": 0.5, "duplicates": []}])
    assert [match["band"] for match in look_at(client, query)["matches"]] == [None]


def test_the_bands_and_the_length_of_lists_are_documented(client: Client) -> None:
    fields = client.get("/api/openapi.json").json()["components"]["schemas"]["MatchOut"]["properties"]
    assert [option.get("enum", option["type"]) for option in fields["band"]["anyOf"]] == [list(get_args(Band)), "null"]
    assert f"best {LISTED} at most" in fields["duplicates"]["description"]
