"""The doorbell: it rings in the right queue, after commit, and never holds anybody up."""

import socket
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from django.db import transaction
from pytest_django import Settings

from gallery import doorbell, workers
from simsearch.celery import app as celery_app
from simsearch.env import broker_url
from tests.stack import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def waiting_in(queue: str) -> int:
    with workers.connect() as redis:
        return int(redis.llen(queue))


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (doorbell.ANSWER, "search"),
        (doorbell.CURATE, "gallery"),
        (doorbell.BUILD, "gallery"),
        (doorbell.REBUILD, "gallery"),
    ],
)
def test_each_task_has_its_queue(task: str, queue: str) -> None:
    doorbell.ring(task)
    assert {name: waiting_in(name) for name in ("search", "gallery", "celery")} == {
        "search": int(queue == "search"),
        "gallery": int(queue == "gallery"),
        "celery": 0,
    }


def test_it_rings_after_the_commit() -> None:  # or a worker would look for a row that is not there yet
    with transaction.atomic():
        doorbell.ring(doorbell.ANSWER)
        assert waiting_in("search") == 0
    assert waiting_in("search") == 1


def test_what_is_rolled_back_does_not_ring() -> None:
    with transaction.atomic():
        doorbell.ring(doorbell.ANSWER)
        transaction.set_rollback(True)
    assert waiting_in("search") == 0


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Celery]:
    """The same application, but with a Redis that is closed, or that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if request.param == "silent" else free_port()
        app = Celery("elsewhere", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.conf.update(broker_url=broker_url(f"redis://127.0.0.1:{port}/0"))
        app.set_current()
        yield app
        celery_app.set_current()
        app.close()


@pytest.mark.parametrize("elsewhere", ["closed", "silent"], indirect=True)
def test_a_redis_that_is_away_holds_nobody_up(elsewhere: Celery, caplog: pytest.LogCaptureFixture) -> None:
    start = time.monotonic()
    with transaction.atomic():
        doorbell.ring(doorbell.ANSWER)
    assert time.monotonic() - start < 3
    assert "the sweeper will ring again" in caplog.text
    assert waiting_in("search") == 0


def report_processes(count: int) -> None:
    for number in range(count):
        workers.report(
            workers.Report(
                f"host:{number}", "cpu", "fp32", "efficientnet_lite0", "efficientnet_lite0", None, "", time.time()
            )
        )


@pytest.mark.parametrize(("processes", "bells"), [(0, 1), (1, 1), (3, 3)])
def test_a_burst_rings_once_for_each_search_process(processes: int, bells: int) -> None:
    report_processes(processes)
    for _ in range(10):
        doorbell.ring_unless_pending(doorbell.ANSWER)
    assert waiting_in("search") == bells


def test_what_comes_after_a_run_has_begun_is_rung_for() -> None:
    doorbell.ring_unless_pending(doorbell.ANSWER)
    doorbell.heard(doorbell.ANSWER)
    doorbell.ring_unless_pending(doorbell.ANSWER)
    assert waiting_in("search") == 2


@pytest.mark.parametrize(("processes", "bells"), [(1, 2), (3, 6)])
def test_bells_of_a_steady_load_do_not_pile_up(processes: int, bells: int) -> None:
    report_processes(processes)
    for _ in range(20):
        doorbell.ring_unless_pending(doorbell.ANSWER)
        doorbell.heard(doorbell.ANSWER)
    assert waiting_in("search") == bells


def test_a_lost_bell_keeps_others_away_for_a_moment_only() -> None:
    doorbell.ring_unless_pending(doorbell.ANSWER)
    with workers.connect() as redis:
        redis.delete("search")  # as when its worker is killed
    deadline = time.monotonic() + 20
    while not waiting_in("search"):
        assert time.monotonic() < deadline
        doorbell.ring_unless_pending(doorbell.ANSWER)
        time.sleep(0.05)


def test_the_sweeper_rings_whatever_is_pending() -> None:
    doorbell.ring_unless_pending(doorbell.ANSWER)
    doorbell.ring(doorbell.ANSWER)
    assert waiting_in("search") == 2


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_without_redis_nobody_waits_twice_and_the_sweeper_is_left(
    kind: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if kind == "silent" else free_port()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        doorbell.ring_unless_pending(doorbell.ANSWER)
        doorbell.heard(doorbell.ANSWER)
    assert "the sweeper will ring again" in caplog.text


def test_pending_bells_are_counted_again_when_redis_is_back() -> None:
    doorbell.ring_unless_pending(doorbell.ANSWER)
    doorbell.heard(doorbell.ANSWER)
    with workers.connect() as redis:
        redis.client_kill_filter(skipme=True)
    doorbell.ring_unless_pending(doorbell.ANSWER)
    assert waiting_in("search") == 2


def test_it_rings_again_when_redis_is_back() -> None:
    doorbell.ring(doorbell.ANSWER)
    with workers.connect() as redis:
        redis.client_kill_filter(skipme=True)  # as if it had been started anew
    doorbell.ring(doorbell.ANSWER)
    assert waiting_in("search") == 2
