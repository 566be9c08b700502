"""The life of a query: who may change its state, and when."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from pytest_django import Settings

from gallery.errors import Refusal
from gallery.models import Image, Query
from gallery.queries import accept, lifecycle, waiting
from gallery.queries.accept import Parameters, Pictures
from gallery.results.matches import shown
from gallery.timings import Stopwatch
from tests.gallery.rows import (
    add_image,
    ago,
    answer,
    ask,
    claimed,
    files_kept,
    finish,
    finished,
    in_state,
    matches,
    now,
    set_row,
)

pytestmark = pytest.mark.django_db
Counted = Callable[[int], AbstractContextManager[object]]

# Asking


def test_an_accepted_upload_waits_with_its_picture() -> None:
    query = now(ask(k=3, labels=("cat",), crop=(0, 0, 0.5, 0.5)))
    assert (query.state, query.attempts, query.claim, query.lease_until) == ("waiting", 0, None, None)
    assert (query.k, query.labels, query.crop) == (3, ["cat"], [0, 0, 0.5, 0.5])
    assert files_kept() == [query.upload_file.path]


def test_no_more_wait_than_the_queue_may_hold(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 1
    first = ask()
    with pytest.raises(Refusal) as refusal:
        ask()
    assert refusal.value.code == "busy"
    assert files_kept() == [first.upload_file.path]
    lifecycle.claim(1)  # what runs does not wait
    assert ask()


# Claiming


def test_the_oldest_are_claimed_first_and_no_more_than_wanted() -> None:
    newest, oldest, middle = (ask(age_s=age_s) for age_s in (1, 30, 20))
    assert claimed(lifecycle.claim(2)) == [oldest.pk, middle.pk]
    assert claimed(lifecycle.claim(2)) == [newest.pk]
    assert claimed(lifecycle.claim(2)) == []


def test_a_claim_is_written_down(settings: Settings) -> None:
    query = ask()
    claim = lifecycle.claim(1)
    row = now(query)
    assert (row.state, row.claim, row.attempts) == ("running", claim.token, 1)
    assert row.claimed_at is not None
    assert row.lease_until is not None
    assert (row.lease_until - row.claimed_at).total_seconds() > settings.SIMSEARCH_ANSWER_LIMIT_S


@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_only_what_waits_is_claimed(state: str) -> None:
    in_state(state)
    assert claimed(lifecycle.claim(10)) == []


def test_one_that_was_tried_before_comes_alone() -> None:
    tried, fresh, fresh_too = (ask(age_s=age_s) for age_s in (30, 20, 10))
    set_row(tried, attempts=1)
    assert claimed(lifecycle.claim(10)) == [tried.pk]
    assert claimed(lifecycle.claim(10)) == [fresh.pk, fresh_too.pk]


def test_one_that_was_tried_before_joins_no_batch() -> None:
    first, tried, second = (ask(age_s=age_s) for age_s in (30, 20, 10))
    set_row(tried, attempts=2)
    assert claimed(lifecycle.claim(10)) == [first.pk, second.pk]
    assert claimed(lifecycle.claim(10)) == [tried.pk]


# Finishing


def test_an_answer_is_written_with_its_matches() -> None:
    images = [add_image(seed) for seed in (1, 2)]
    query = finished(*images, images=5, model_id="efficientnet_lite0-1234", generation=4, stages_ms={"embed": 7.5})
    row = now(query)
    assert (row.state, row.claim, row.lease_until) == ("done", None, None)
    assert (row.images, row.model_id, row.generation) == (5, "efficientnet_lite0-1234", 4)
    assert row.timings_ms.keys() == {"accept", "check", "keep", "queue", "embed", "finish", "total"}
    assert matches(row) == [(1, 1.0, images[0].pk), (2, 0.9, images[1].pk)]


def test_a_second_answer_changes_nothing() -> None:
    first, second = add_image(1), add_image(2)
    query = ask()
    token = lifecycle.claim(1).token
    assert finish(token, {query: answer(first)}) == 1
    assert finish(token, {query: answer(second)}) == 0
    assert matches(query) == [(1, 1.0, first.pk)]


def test_a_run_that_lost_its_claim_answers_nothing() -> None:
    image = add_image()
    query = ask()
    late = lifecycle.claim(1).token
    set_row(query, lease_until=ago(1))
    lifecycle.release_overdue()
    punctual = lifecycle.claim(1).token
    assert finish(late, {query: answer()}) == 0
    assert not lifecycle.fail(late, query, "corrupt", "Too late.")
    assert lifecycle.requeue(late) == 0
    assert finish(punctual, {query: answer(image)}) == 1
    assert matches(query) == [(1, 1.0, image.pk)]


def test_one_lost_query_does_not_cost_the_others_their_answers() -> None:
    image = add_image()
    lost, kept = ask(age_s=2), ask(age_s=1)
    token = lifecycle.claim(2).token
    set_row(lost, claim=uuid.uuid4())
    assert finish(token, {lost: answer(image), kept: answer(image)}) == 1
    assert (now(lost).state, now(kept).state) == ("running", "done")
    assert [query.matches is None for query in (now(lost), now(kept))] == [True, False]


def test_a_picture_deleted_during_the_search_is_not_shown() -> None:
    first, gone, last = (add_image(seed) for seed in (1, 2, 3))
    query = ask()
    token = lifecycle.claim(1).token
    found = answer(first, gone, last)
    Image.objects.get(pk=gone.pk).delete()
    assert finish(token, {query: found}) == 1
    assert [match.image.id for match in shown(now(query))] == [first.pk, last.pk]


def test_a_batch_is_finished_in_a_few_statements(django_assert_max_num_queries: Counted) -> None:
    images = [add_image(seed) for seed in range(10)]
    queries = [ask(seed) for seed in range(8)]
    token = lifecycle.claim(8).token
    with django_assert_max_num_queries(6):  # with the transaction's own
        assert finish(token, {query: answer(*images) for query in queries}) == 8
    assert all(len(matches(query)) == 10 for query in queries)


@pytest.mark.parametrize("state", ["waiting", "done", "failed"])
def test_only_what_runs_can_end(state: str) -> None:
    query, token = in_state(state)
    before = Query.objects.filter(pk=query.pk).values().get()
    assert finish(token, {query: answer(add_image())}) == 0
    assert not lifecycle.fail(token, query, "corrupt", "The picture is damaged.")
    assert lifecycle.requeue(token) == 0
    assert lifecycle.release_overdue() == 0
    assert Query.objects.filter(pk=query.pk).values().get() == before


def test_a_query_that_cannot_be_answered_gets_its_reason() -> None:
    query = ask()
    assert lifecycle.fail(lifecycle.claim(1).token, query, "corrupt", "The picture is damaged.")
    row = now(query)
    assert (row.state, row.error_code, row.error) == ("failed", "corrupt", "The picture is damaged.")
    assert row.finished_at is not None
    assert (row.claim, row.lease_until) == (None, None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["fail", "give up"])
def test_what_was_uploaded_for_a_failed_query_is_deleted(how: str) -> None:
    query = ask()
    set_row(query, attempts=lifecycle.MAX_ATTEMPTS - 1)
    token = lifecycle.claim(1).token
    if how == "fail":
        lifecycle.fail(token, query, "corrupt", "The picture is damaged.")
    else:
        lifecycle.requeue(token)
    assert now(query).state == "failed"
    assert files_kept() == []


@pytest.mark.django_db(transaction=True)
def test_a_picture_deleted_during_more_like_it_is_reported() -> None:
    image = add_image()
    Image.objects.filter(pk=image.pk).delete()
    with pytest.raises(Refusal) as refusal:
        accept.store(Pictures(like=[image]), Parameters(), Stopwatch())
    assert refusal.value.code == "not_found"
    assert waiting.count() == 0
