"""Several workers at one database: whatever they try at once, one of them gets it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker

from gallery.curation import library
from gallery.index import generations
from gallery.models import Image, IndexGeneration, Query
from gallery.queries import lifecycle
from tests.environment import own_database
from tests.gallery.rows import add_image, answer, ask, finish, matches

RACERS = 4
SWITCHES, PICTURES, ANSWERED = 10, 20, 60
T = TypeVar("T")


@pytest.fixture
def threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> Iterator[ThreadPoolExecutor]:
    """Threads, each on a connection of its own to a database of their own: a file as `make run` has it, or a server."""
    url = own_database().get("DATABASE_URL")
    name = urlsplit(url).path[1:] if url else str(tmp_path / "race.sqlite3")
    own = connections.settings["default"] | {"NAME": name}
    monkeypatch.setitem(connections.settings, "default", own)  # what a new thread connects to
    with django_db_blocker.unblock(), ThreadPoolExecutor(RACERS) as pool:
        pool.submit(call_command, "migrate", verbosity=0).result()
        yield pool
        race(pool, connections.close_all)


def race(threads: ThreadPoolExecutor, run: Callable[[], T]) -> list[T]:
    """Do the same thing in every thread at the same moment."""
    start = threading.Barrier(RACERS)

    def racer(_: int) -> T:
        start.wait(30)
        return run()

    return list(threads.map(racer, range(RACERS)))


def claim_all() -> list[UUID]:
    mine: list[UUID] = []
    while batch := lifecycle.claim(3).queries:
        mine += [query.pk for query in batch]
    return mine


def test_no_query_is_claimed_twice(threads: ThreadPoolExecutor) -> None:
    queries = threads.submit(lambda: {ask(seed).pk for seed in range(40)}).result()
    claimed = [query for mine in race(threads, claim_all) for query in mine]
    assert len(claimed) == len(queries)
    assert set(claimed) == queries
    assert threads.submit(lambda: set(Query.objects.values_list("state", "attempts"))).result() == {("running", 1)}


def test_no_query_is_answered_twice(threads: ThreadPoolExecutor) -> None:
    image = threads.submit(add_image).result()
    query = threads.submit(ask).result()
    token = threads.submit(lifecycle.claim, 1).result().token
    assert sorted(race(threads, lambda: finish(token, {query: answer(image)}))) == [0, 0, 0, 1]
    assert [match[2] for match in threads.submit(matches, query).result()] == [image.pk]


def test_an_overdue_query_is_released_once(threads: ThreadPoolExecutor) -> None:
    query = threads.submit(ask).result()
    token = threads.submit(lifecycle.claim, 1).result().token
    assert sorted(race(threads, lambda: lifecycle.requeue(token))) == [0, 0, 0, 1]
    assert threads.submit(Query.objects.get, pk=query.pk).result().state == "waiting"


def test_one_build_gets_the_place(threads: ThreadPoolExecutor) -> None:
    def start() -> bool:
        try:
            generations.start("efficientnet_lite0")
        except generations.Busy:
            return False
        return True

    assert sorted(race(threads, start)) == [False, False, False, True]


def test_one_of_many_switches_is_the_active_one(threads: ThreadPoolExecutor) -> None:
    def prepare() -> None:
        for _ in range(RACERS):
            generations.activate(generations.start("efficientnet_lite0"), images=1, last_embedding=1, manifest={})

    def switch(ready: list[IndexGeneration]) -> None:
        generations._switch_to(ready.pop())

    threads.submit(prepare).result()
    for _ in range(SWITCHES):
        ready = threads.submit(lambda: list(IndexGeneration.objects.all())).result()
        race(threads, partial(switch, ready))
        assert threads.submit(IndexGeneration.objects.filter(is_active=True).count).result() == 1


def test_pictures_can_be_deleted_while_answers_name_them(threads: ThreadPoolExecutor) -> None:
    images = threads.submit(lambda: [add_image(seed) for seed in range(PICTURES)]).result()
    queries = threads.submit(lambda: [ask(seed) for seed in range(ANSWERED)]).result()
    claims = threads.submit(lambda: [lifecycle.claim(1) for _ in queries]).result()

    def end() -> None:
        while claims:
            claim = claims.pop()
            finish(claim.token, {query: answer(*images) for query in claim.queries})

    def delete() -> None:
        for image in images:
            library.remove(Image.objects.filter(pk=image.pk))

    racers = [threads.submit(end) for _ in range(RACERS - 1)] + [threads.submit(delete)]
    for racer in racers:
        racer.result()
    assert threads.submit(lambda: set(Query.objects.values_list("state", flat=True))).result() == {"done"}
    assert threads.submit(Image.objects.count).result() == 0
