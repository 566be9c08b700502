"""How the queue stands: looked at once for many requests."""

import io
import time
import uuid
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from gallery import queries, waiting
from gallery.addresses import address
from gallery.errors import Refusal
from gallery.models import Query
from gallery.waiting import Queue
from tests.gallery.rows import add_image, ago, ask, finished, picture, set_row

pytestmark = pytest.mark.django_db

Counted = Callable[[int], AbstractContextManager[object]]
A_MINUTE = 60


@pytest.fixture
def noting(settings: Settings) -> Iterator[None]:
    """As when it serves: a look at the queue will do for a moment."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def empty_a_moment_ago(noting: None) -> None:
    """Somebody has just looked, and saw nobody."""
    cache.set(waiting.NOTED, Queue(array("d"), forecast=None), A_MINUTE)


def test_the_queue_tells_who_waits_and_what_runs() -> None:
    done = finished()
    set_row(done, created_at=ago(3), claimed_at=ago(2), finished_at=ago(1))
    second, first = (ask(age_s=age_s) for age_s in (10, 20))
    queue = waiting.noted()
    assert list(queue.received) == [query.created_at.timestamp() for query in (first, second)]
    assert [queue.ahead_of(query) for query in (first, second, done)] == [0, 1, 0]
    assert queue.forecast is not None
    assert queue.forecast.going_on == {}
    assert queue.forecast.picture_s == pytest.approx(0.5, abs=0.05)  # one picture in a second, and what is fixed
    queries.claim(1)
    first.refresh_from_db()
    queue = waiting.noted()
    assert list(queue.received) == [second.created_at.timestamp()]
    assert queue.forecast is not None
    assert first.claimed_at is not None
    assert queue.forecast.going_on == {first.claimed_at.timestamp(): 1}


def test_a_look_of_a_moment_ago_will_do(empty_a_moment_ago: None, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 1
    assert [waiting.noted().ahead_of(ask()) for _ in range(3)] == [0, 0, 0]
    cache.delete(waiting.NOTED)  # the moment is over
    with pytest.raises(Refusal) as refusal:
        ask()
    assert refusal.value.code == "busy"


def test_the_moment_is_over_soon(noting: None) -> None:
    assert list(waiting.noted().received) == []
    ask()
    deadline = time.monotonic() + 30
    while not waiting.noted().received:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_upload_is_one_statement(
    empty_a_moment_ago: None, client: Client, django_assert_num_queries: Counted
) -> None:
    with django_assert_num_queries(1):
        assert client.post("/api/queries", {"image": io.BytesIO(picture())}).status_code == 202


@pytest.mark.parametrize(("state", "statements"), [("waiting", 1), ("running", 1), ("done", 2)])
def test_a_poll_is_one_statement_and_one_for_the_matches(
    empty_a_moment_ago: None, client: Client, django_assert_num_queries: Counted, state: str, statements: int
) -> None:
    query = finished(add_image(1), add_image(2)) if state == "done" else ask()
    Query.objects.filter(pk=query.pk).update(state=state)
    with django_assert_num_queries(statements):
        assert client.get(f"/api/queries/{query.pk}").json()["state"] == state


@pytest.mark.parametrize("view", ["image", "image_picture", "image_thumbnail", "query", "query_picture"])
def test_an_address_is_what_the_table_of_addresses_says(view: str) -> None:
    for pk in (uuid.uuid4(), uuid.uuid4()):
        assert address(view, pk) == reverse(view, args=[pk])
