"""The life of a query: who may change its state, and when."""

import uuid
from typing import Any

import pytest
from pytest_django import Settings

from gallery import queries
from gallery.errors import Refusal
from gallery.models import Image, Match, Query
from gallery.queries import Claim
from tests.gallery.rows import add_image, ago, answer, ask, files_kept, finished, gone_process

pytestmark = pytest.mark.django_db

STATES = ["waiting", "running", "done", "failed"]


def set_row(query: Query, **fields: Any) -> None:
    """Bring a row into a position that only time would bring it into."""
    Query.objects.filter(pk=query.pk).update(**fields)


def in_state(state: str) -> tuple[Query, uuid.UUID]:
    """A query in that state, and the token of the claim that brought it there (of nobody for a waiting one)."""
    query = ask()
    if state == "waiting":
        return query, uuid.uuid4()
    token = queries.claim(1).token
    if state == "done":
        queries.finish(token, {query: answer()})
    if state == "failed":
        queries.fail(token, query, "corrupt", "The picture is damaged.")
    return query, token


def now(query: Query) -> Query:
    return Query.objects.get(pk=query.pk)


def claimed(claim: Claim) -> list[uuid.UUID]:
    return [query.pk for query in claim.queries]


# Asking


def test_an_accepted_upload_waits_with_its_picture() -> None:
    query = now(ask(k=3, labels=("cat",), crop=(0, 0, 0.5, 0.5)))
    assert (query.state, query.attempts, query.claim, query.lease_until) == ("waiting", 0, None, None)
    assert (query.k, query.labels, query.crop) == (3, ["cat"], [0, 0, 0.5, 0.5])
    assert files_kept() == [query.picture_path]


def test_no_more_wait_than_the_queue_may_hold(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 1
    first = ask()
    with pytest.raises(Refusal) as refusal:
        ask()
    assert refusal.value.code == "busy"
    assert files_kept() == [first.picture_path]
    queries.claim(1)  # what runs does not wait
    assert ask()


# Claiming


def test_the_oldest_are_claimed_first_and_no_more_than_wanted() -> None:
    newest, oldest, middle = (ask(age_s=age_s) for age_s in (1, 30, 20))
    assert claimed(queries.claim(2)) == [oldest.pk, middle.pk]
    assert claimed(queries.claim(2)) == [newest.pk]
    assert claimed(queries.claim(2)) == []


def test_a_claim_is_written_down(settings: Settings) -> None:
    query = ask()
    claim = queries.claim(1)
    row = now(query)
    assert (row.state, row.claim, row.attempts) == ("running", claim.token, 1)
    assert row.claimed_at is not None
    assert row.lease_until is not None
    assert (row.lease_until - row.claimed_at).total_seconds() > settings.SIMSEARCH_ANSWER_LIMIT_S


@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_only_what_waits_is_claimed(state: str) -> None:
    in_state(state)
    assert claimed(queries.claim(10)) == []


def test_one_that_was_tried_before_comes_alone() -> None:
    tried, fresh, fresh_too = (ask(age_s=age_s) for age_s in (30, 20, 10))
    set_row(tried, attempts=1)
    assert claimed(queries.claim(10)) == [tried.pk]
    assert claimed(queries.claim(10)) == [fresh.pk, fresh_too.pk]


def test_one_that_was_tried_before_joins_no_batch() -> None:
    first, tried, second = (ask(age_s=age_s) for age_s in (30, 20, 10))
    set_row(tried, attempts=2)
    assert claimed(queries.claim(10)) == [first.pk, second.pk]
    assert claimed(queries.claim(10)) == [tried.pk]


# Finishing


def test_an_answer_is_written_with_its_matches() -> None:
    images = [add_image(seed) for seed in (1, 2)]
    query = finished(*images, images=5, network="compact-1234", generation=4, timings_ms={"embed": 7.5})
    row = now(query)
    assert (row.state, row.claim, row.lease_until) == ("done", None, None)
    assert (row.images, row.network, row.generation) == (5, "compact-1234", 4)
    assert row.timings_ms.keys() == {"accept", "embed", "total"}
    assert list(row.matches.values_list("rank", "similarity", "image")) == [
        (1, 1.0, images[0].pk),
        (2, 0.9, images[1].pk),
    ]


def test_a_second_answer_changes_nothing() -> None:
    first, second = add_image(1), add_image(2)
    query = ask()
    token = queries.claim(1).token
    assert queries.finish(token, {query: answer(first)}) == 1
    assert queries.finish(token, {query: answer(second)}) == 0
    assert [match.image for match in query.matches.all()] == [first]


def test_a_run_that_lost_its_claim_answers_nothing() -> None:
    image = add_image()
    query = ask()
    late = queries.claim(1).token
    set_row(query, lease_until=ago(1))
    queries.release_overdue()
    punctual = queries.claim(1).token
    assert queries.finish(late, {query: answer()}) == 0
    assert not queries.fail(late, query, "corrupt", "Too late.")
    assert queries.give_back(late) == 0
    assert queries.finish(punctual, {query: answer(image)}) == 1
    assert [match.image for match in query.matches.all()] == [image]


def test_one_lost_query_does_not_cost_the_others_their_answers() -> None:
    image = add_image()
    lost, kept = ask(age_s=2), ask(age_s=1)
    token = queries.claim(2).token
    set_row(lost, claim=uuid.uuid4())
    assert queries.finish(token, {lost: answer(image), kept: answer(image)}) == 1
    assert (now(lost).state, now(kept).state) == ("running", "done")
    assert [match.query for match in Match.objects.all()] == [kept]


def test_a_picture_deleted_during_the_search_is_left_out() -> None:
    first, gone, last = (add_image(seed) for seed in (1, 2, 3))
    query = ask()
    token = queries.claim(1).token
    found = answer(first, gone, last)
    Image.objects.get(pk=gone.pk).delete()
    assert queries.finish(token, {query: found}) == 1
    assert list(query.matches.values_list("rank", "similarity", "image")) == [(1, 1.0, first.pk), (2, 0.8, last.pk)]


@pytest.mark.parametrize("state", ["waiting", "done", "failed"])
def test_only_what_runs_can_end(state: str) -> None:
    query, token = in_state(state)
    before = Query.objects.filter(pk=query.pk).values().get()
    assert queries.finish(token, {query: answer(add_image())}) == 0
    assert not queries.fail(token, query, "corrupt", "The picture is damaged.")
    assert queries.give_back(token) == 0
    assert queries.release_overdue() == 0
    assert Query.objects.filter(pk=query.pk).values().get() == before


def test_a_query_that_cannot_be_answered_gets_its_reason() -> None:
    query = ask()
    assert queries.fail(queries.claim(1).token, query, "corrupt", "The picture is damaged.")
    row = now(query)
    assert (row.state, row.error_code, row.error) == ("failed", "corrupt", "The picture is damaged.")
    assert row.finished_at is not None
    assert (row.claim, row.lease_until) == (None, None)


# Broken runs


def test_what_a_broken_run_had_left_waits_again() -> None:
    done, left = ask(age_s=2), ask(age_s=1)
    claim = queries.claim(2)
    queries.finish(claim.token, {done: answer()})
    assert queries.give_back(claim.token) == 1
    assert (now(done).state, now(left).state) == ("done", "waiting")
    assert (now(left).claim, now(left).lease_until, now(left).attempts) == (None, None, 1)


def test_a_lease_counts_until_it_is_over() -> None:
    held, overdue = ask(age_s=2), ask(age_s=1)
    queries.claim(2)
    set_row(overdue, lease_until=ago(1))
    assert queries.release_overdue() == 1
    assert (now(held).state, now(overdue).state) == ("running", "waiting")


def test_what_a_dead_process_held_need_not_wait_for_its_lease() -> None:
    alive, orphaned, elsewhere = (ask(age_s=age_s) for age_s in (3, 2, 1))
    queries.claim(3)
    set_row(orphaned, claimed_by=gone_process())
    set_row(elsewhere, claimed_by="another-host:1")
    assert queries.release_overdue() == 1
    assert [now(query).state for query in (alive, orphaned, elsewhere)] == ["running", "waiting", "running"]


def test_a_released_query_counts_its_waiting_anew() -> None:
    query = ask(age_s=600)
    set_row(query, waiting_since=ago(600))
    assert queries.oldest_waiting_s() == pytest.approx(600, abs=5)
    queries.give_back(queries.claim(1).token)
    assert queries.oldest_waiting_s() == pytest.approx(0, abs=5)


@pytest.mark.parametrize("ending", ["given back", "overdue"])
def test_the_third_attempt_is_the_last(ending: str) -> None:
    query = ask()
    for _ in range(3):
        token = queries.claim(1).token
        if ending == "given back":
            assert queries.give_back(token) == 1
        else:
            set_row(query, lease_until=ago(1))
            assert queries.release_overdue() == 1
    row = now(query)
    assert (row.state, row.attempts, row.error_code) == ("failed", 3, "gave_up")
    assert row.error.endswith(".")
    assert claimed(queries.claim(1)) == []


# Looking after them


def test_the_place_in_the_queue_counts_what_waits_before() -> None:
    first, second, third = (ask(age_s=age_s) for age_s in (30, 20, 10))
    assert [queries.waiting_ahead(query) for query in (first, second, third)] == [0, 1, 2]
    queries.claim(1)
    assert [queries.waiting_ahead(now(query)) for query in (first, second, third)] == [0, 0, 1]
    assert queries.waiting() == 2


def test_nothing_waits_for_no_time() -> None:
    assert (queries.waiting(), queries.oldest_waiting_s()) == (0, 0.0)


@pytest.mark.parametrize("state", STATES)
def test_old_queries_expire_when_they_are_finished(state: str, django_capture_on_commit_callbacks: Any) -> None:
    young = finished(add_image())
    old, _ = in_state(state)
    set_row(old, created_at=ago(100))
    before = files_kept()
    with django_capture_on_commit_callbacks(execute=True):
        expired = queries.expire(ago(50))
    gone = state in {"done", "failed"}
    assert expired == gone
    assert Query.objects.filter(pk=old.pk).exists() is not gone
    assert set(before) - set(files_kept()) == ({old.picture_path} if gone else set())
    assert now(young).matches.count() == 1
