"""The queue: its length, its throughput, and what a request may cost."""

import io
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from gallery.addresses import address
from gallery.errors import Refusal
from gallery.models import Query
from gallery.queries import lifecycle, waiting
from gallery.queries.waiting import Queue
from tests.gallery.rows import add_image, ago, ask, finished, picture, set_row

pytestmark = pytest.mark.django_db

Counted = Callable[[int], AbstractContextManager[object]]
A_MINUTE = 60


@pytest.fixture
def caching(settings: Settings) -> Iterator[None]:
    """As when it serves: the length of the queue is cached for a moment."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def cached_as_empty(caching: None) -> None:
    cache.set(waiting.CACHE_KEY, Queue(0, 0), A_MINUTE)


def test_the_queue_is_what_waits_and_what_runs() -> None:
    done = finished()
    set_row(done, created_at=ago(3), claimed_at=ago(2), finished_at=ago(1))
    second, first = (ask(age_s=age_s) for age_s in (10, 20))
    assert waiting.cached() == Queue(2, 0, pytest.approx(1, rel=0.05), pytest.approx(1, rel=0.05))  # type: ignore[arg-type]
    assert [waiting.ahead_of(query) for query in (first, second, done)] == [0, 1, 0]
    lifecycle.claim(1)
    assert (waiting.cached().waiting, waiting.cached().running) == (1, 1)


def test_a_batch_counts_once_for_the_throughput() -> None:
    rows = [finished() for _ in range(3)]
    claimed_at, finished_at = ago(2), ago(1)
    for row in rows:
        set_row(row, claimed_at=claimed_at, finished_at=finished_at)
    assert waiting.cached().per_s == pytest.approx(3, rel=0.05)
    set_row(rows[0], claimed_by="another process", claimed_at=ago(2))
    assert waiting.cached().per_s == pytest.approx(3, rel=0.05)  # two seconds of two processes


def test_what_finished_long_ago_says_nothing_of_the_throughput() -> None:
    set_row(finished(), created_at=ago(61), claimed_at=ago(61), finished_at=ago(60))
    assert waiting.cached().per_s == waiting.USUAL_PER_S


def test_the_limit_goes_by_the_cached_length(cached_as_empty: None, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 1
    for _ in range(3):
        ask()
    cache.delete(waiting.CACHE_KEY)  # the moment is over
    with pytest.raises(Refusal) as refusal:
        ask()
    assert refusal.value.code == "busy"


def test_the_cached_length_expires(caching: None) -> None:
    assert waiting.cached().waiting == 0
    ask()
    deadline = time.monotonic() + 30
    while not waiting.cached().waiting:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_by_default_thousands_may_wait(settings: Settings) -> None:
    assert settings.SIMSEARCH_MAX_WAITING >= 2000


def test_an_upload_is_one_statement(cached_as_empty: None, client: Client, django_assert_num_queries: Counted) -> None:
    with django_assert_num_queries(1):
        assert client.post("/api/queries", {"image": io.BytesIO(picture())}).status_code == 202


@pytest.mark.parametrize(("state", "statements"), [("waiting", 2), ("running", 1), ("done", 2)])
def test_a_poll_is_one_statement_and_one_for_the_queue_or_the_matches(
    cached_as_empty: None, client: Client, django_assert_num_queries: Counted, state: str, statements: int
) -> None:
    query = finished(add_image(1), add_image(2)) if state == "done" else ask()
    Query.objects.filter(pk=query.pk).update(state=state)
    with django_assert_num_queries(statements):
        assert client.get(f"/api/queries/{query.pk}").json()["state"] == state


@pytest.mark.parametrize("view", ["image", "image_picture", "image_thumbnail", "query", "query_picture"])
def test_an_address_is_what_the_table_of_addresses_says(view: str) -> None:
    for pk in (uuid.uuid4(), uuid.uuid4()):
        assert address(view, pk) == reverse(view, args=[pk])
