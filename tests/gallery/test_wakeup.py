"""Wake-up messages: in the right queue, after the commit, and never a reason to wait."""

import io
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.core.management import call_command
from django.db import transaction
from pytest_django import Settings

from gallery.curation import zips
from gallery.operations import workers
from gallery.queries import wakeup
from simsearch.celery import app as celery_app
from tests.gallery.rows import add_image, picture
from tests.stack import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def waiting_in(queue: str) -> int:
    with workers.connect() as redis:
        return int(redis.llen(queue))


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (wakeup.ANSWER, "search"),
        (wakeup.CURATE, "gallery"),
        (wakeup.REBUILD, "gallery"),
        (wakeup.BULK, "gallery"),
    ],
)
def test_each_task_has_its_queue(task: str, queue: str) -> None:
    wakeup.wake_workers(task)
    assert {name: waiting_in(name) for name in ("search", "gallery", "celery")} == {
        "search": int(queue == "search"),
        "gallery": int(queue == "gallery"),
        "celery": 0,
    }


def test_a_new_picture_wakes_the_worker_that_embeds_it() -> None:
    with transaction.atomic():
        add_image(1)
        assert waiting_in("gallery") == 0
    assert waiting_in("gallery") == 1


def test_an_import_sends_one_message(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    call_command("import_images", tmp_path, stdout=io.StringIO())
    assert waiting_in("gallery") == 1


def test_a_step_of_an_archive_sends_one_message() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number in range(3):
            file.writestr(f"{number}.png", picture(number))
    row = zips.begin("pictures.zip", len(data.getvalue()), "", "curator")
    zips.receive(row, 0, io.BytesIO(data.getvalue()))
    before = waiting_in("gallery")
    assert zips.step()
    assert waiting_in("gallery") == before + 1


def test_a_message_is_sent_after_the_commit() -> None:  # or a worker would look for a row that is not there yet
    with transaction.atomic():
        wakeup.wake_workers(wakeup.ANSWER)
        assert waiting_in("search") == 0
    assert waiting_in("search") == 1


def test_what_is_rolled_back_sends_none() -> None:
    with transaction.atomic():
        wakeup.wake_workers(wakeup.ANSWER)
        transaction.set_rollback(True)
    assert waiting_in("search") == 0


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Celery]:
    """Provide the same application, but with a Redis that is closed, or that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if request.param == "silent" else free_port()
        app = Celery("elsewhere", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.conf.update(broker_url=f"redis://127.0.0.1:{port}/0")
        app.set_current()
        yield app
        celery_app.set_current()
        app.close()


@pytest.mark.parametrize("elsewhere", ["closed", "silent"], indirect=True)
def test_a_redis_that_is_away_holds_no_upload_up(elsewhere: Celery, caplog: pytest.LogCaptureFixture) -> None:
    start = time.monotonic()
    with transaction.atomic():
        wakeup.wake_workers(wakeup.ANSWER)
    assert time.monotonic() - start < 3
    assert "the next sweep sends it" in caplog.text
    assert waiting_in("search") == 0


def report_processes(count: int) -> None:
    for number in range(count):
        workers.report(
            workers.Report(
                f"host:{number}", "cpu", "fp32", "efficientnet_lite0", "efficientnet_lite0", None, "", time.time()
            )
        )


@pytest.mark.parametrize(("processes", "messages"), [(0, 1), (1, 1), (3, 3)])
def test_a_burst_sends_one_for_each_search_process(processes: int, messages: int) -> None:
    report_processes(processes)
    for _ in range(10):
        wakeup.wake_unless_pending(wakeup.ANSWER)
    assert waiting_in("search") == messages


def test_what_comes_after_a_run_has_begun_is_sent_for() -> None:
    wakeup.wake_unless_pending(wakeup.ANSWER)
    wakeup.clear_pending(wakeup.ANSWER)
    wakeup.wake_unless_pending(wakeup.ANSWER)
    assert waiting_in("search") == 2


@pytest.mark.parametrize(("processes", "messages"), [(1, 2), (3, 6)])
def test_messages_of_a_steady_load_do_not_pile_up(processes: int, messages: int) -> None:
    report_processes(processes)
    for _ in range(20):
        wakeup.wake_unless_pending(wakeup.ANSWER)
        wakeup.clear_pending(wakeup.ANSWER)
    assert waiting_in("search") == messages


def test_a_lost_message_keeps_others_away_for_a_moment_only() -> None:
    wakeup.wake_unless_pending(wakeup.ANSWER)
    with workers.connect() as redis:
        redis.delete("search")  # as when its worker is killed
    deadline = time.monotonic() + 20
    while not waiting_in("search"):
        assert time.monotonic() < deadline
        wakeup.wake_unless_pending(wakeup.ANSWER)
        time.sleep(0.05)


def test_the_sweep_sends_whatever_is_pending() -> None:
    wakeup.wake_unless_pending(wakeup.ANSWER)
    wakeup.wake_workers(wakeup.ANSWER)
    assert waiting_in("search") == 2


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_without_redis_no_upload_waits_twice_and_the_sweep_is_left(
    kind: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if kind == "silent" else free_port()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        wakeup.wake_unless_pending(wakeup.ANSWER)
        wakeup.clear_pending(wakeup.ANSWER)
    assert "the next sweep sends it" in caplog.text


def test_pending_messages_are_counted_again_when_redis_is_back() -> None:
    wakeup.wake_unless_pending(wakeup.ANSWER)
    wakeup.clear_pending(wakeup.ANSWER)
    with workers.connect() as redis:
        redis.client_kill_filter(skipme=True)
    wakeup.wake_unless_pending(wakeup.ANSWER)
    assert waiting_in("search") == 2


def test_messages_are_sent_again_when_redis_is_back() -> None:
    wakeup.wake_workers(wakeup.ANSWER)
    with workers.connect() as redis:
        redis.client_kill_filter(skipme=True)  # as if it had been started anew
    wakeup.wake_workers(wakeup.ANSWER)
    assert waiting_in("search") == 2
