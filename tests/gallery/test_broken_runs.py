"""Queries whose run broke, and those that wait or are old."""

from typing import Any

import pytest

from gallery.models import Query
from gallery.queries import lifecycle, retention, waiting
from tests.gallery.rows import (
    add_image,
    ago,
    answer,
    ask,
    claimed,
    files_kept,
    finish,
    finished,
    gone_process,
    in_state,
    matches,
    now,
    set_row,
)

pytestmark = pytest.mark.django_db


def test_what_a_broken_run_had_left_waits_again() -> None:
    done, left = ask(age_s=2), ask(age_s=1)
    claim = lifecycle.claim(2)
    finish(claim.token, {done: answer()})
    assert lifecycle.requeue(claim.token) == 1
    assert (now(done).state, now(left).state) == ("done", "waiting")
    assert (now(left).claim, now(left).lease_until, now(left).attempts) == (None, None, 1)


def test_a_lease_counts_until_it_is_over() -> None:
    held, overdue = ask(age_s=2), ask(age_s=1)
    lifecycle.claim(2)
    set_row(overdue, lease_until=ago(1))
    assert lifecycle.release_overdue() == 1
    assert (now(held).state, now(overdue).state) == ("running", "waiting")


def test_what_a_dead_process_held_need_not_wait_for_its_lease() -> None:
    alive, orphaned, elsewhere = (ask(age_s=age_s) for age_s in (3, 2, 1))
    lifecycle.claim(3)
    set_row(orphaned, claimed_by=gone_process())
    set_row(elsewhere, claimed_by="another-host:1")
    assert lifecycle.release_overdue() == 1
    assert [now(query).state for query in (alive, orphaned, elsewhere)] == ["running", "waiting", "running"]


def test_a_released_query_counts_its_waiting_anew() -> None:
    query = ask(age_s=600)
    set_row(query, waiting_since=ago(600))
    assert waiting.oldest_s() == pytest.approx(600, abs=5)
    lifecycle.requeue(lifecycle.claim(1).token)
    assert waiting.oldest_s() == pytest.approx(0, abs=5)


@pytest.mark.parametrize("ending", ["given back", "overdue"])
def test_the_third_attempt_is_the_last(ending: str) -> None:
    query = ask()
    for _ in range(3):
        token = lifecycle.claim(1).token
        if ending == "given back":
            assert lifecycle.requeue(token) == 1
        else:
            set_row(query, lease_until=ago(1))
            assert lifecycle.release_overdue() == 1
    row = now(query)
    assert (row.state, row.attempts, row.error_code) == ("failed", 3, "gave_up")
    assert row.error.endswith(".")
    assert claimed(lifecycle.claim(1)) == []


# Looking after them


def test_the_place_in_the_queue_counts_what_waits_before() -> None:
    first, second, third = (ask(age_s=age_s) for age_s in (30, 20, 10))
    assert [waiting.ahead_of(query) for query in (first, second, third)] == [0, 1, 2]
    lifecycle.claim(1)
    assert [waiting.ahead_of(now(query)) for query in (first, second, third)] == [0, 0, 1]
    assert waiting.count() == 2


def test_nothing_waits_for_no_time() -> None:
    assert (waiting.count(), waiting.oldest_s()) == (0, 0.0)


@pytest.mark.parametrize("state", Query.State.values)
def test_old_queries_expire_when_they_are_finished(state: str, django_capture_on_commit_callbacks: Any) -> None:
    young = finished(add_image())
    old, _ = in_state(state)
    set_row(old, created_at=ago(100))
    before = files_kept()
    with django_capture_on_commit_callbacks(execute=True):
        expired = retention.expire(ago(50))
    gone = state in {"done", "failed"}
    assert expired == gone
    assert Query.objects.filter(pk=old.pk).exists() is not gone
    assert set(before) - set(files_kept()) == (
        {old.picture_file.path if state == "done" else old.upload_file.path} if gone else set()
    )
    assert len(matches(young)) == 1
