"""Slow and costly pictures: they fail alone, and their client is limited; the others of their batch are answered."""

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.errors import Refusal
from gallery.models import Image, Query
from gallery.queries import accept, lifecycle, throttle
from gallery.queries.accept import Parameters, Pictures
from gallery.timings import Stopwatch
from tasks.queries.answer import answer_waiting
from tasks.worker import Worker
from tests.engine.bombs import heic_grids, png_of_chunks, slow_png
from tests.gallery.rows import files_kept, now, picture, set_row, uploaded
from tests.tasks.conftest import Ask

DONE, FAILED, RUNNING, WAITING = Query.State.DONE, Query.State.FAILED, Query.State.RUNNING, Query.State.WAITING
CHUNKS = png_of_chunks(30_000)

with_threads = pytest.mark.django_db(transaction=True)


def store(data: bytes, client: str | None = None) -> Query:
    return accept.store(Pictures(files=[uploaded(data)]), Parameters(), Stopwatch(), client)


@with_threads
def test_a_batch_does_not_wait_for_a_slow_picture(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    slow, other = store(slow_png()), ask(3)
    answer_waiting(worker, 32)
    assert (now(slow).state, now(other).state) == (RUNNING, DONE)
    worker.slow.join()
    assert now(slow).state == WAITING
    assert slow.picture_file.path.exists()
    assert not slow.upload_file.path.exists()
    answer_waiting(worker, 32)
    assert (now(slow).state, len(now(slow).matches or [])) == (DONE, 10)


@with_threads
def test_two_slow_pictures_are_decoded_one_after_the_other(worker: Worker, gallery: list[Image]) -> None:
    slow = [store(slow_png()), store(slow_png())]
    answer_waiting(worker, 32)
    worker.slow.join()
    assert [now(query).state for query in slow] == [WAITING, WAITING]


@with_threads
def test_a_slow_picture_that_was_tried_before_is_answered_at_once(worker: Worker, gallery: list[Image]) -> None:
    slow = store(slow_png())
    set_row(slow, attempts=1)
    answer_waiting(worker, 32)
    assert now(slow).state == DONE


@with_threads
def test_a_slow_picture_that_was_withdrawn_leaves_no_uploaded(worker: Worker) -> None:
    slow = store(slow_png())
    answer_waiting(worker, 32)
    lifecycle.withdraw(slow.pk)
    worker.slow.join()
    assert files_kept() == []


def test_a_costly_picture_fails_alone_and_leaves_no_uploaded(
    worker: Worker,
    gallery: list[Image],
    ask: Ask,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    costly, other = store(CHUNKS), ask(3)
    with django_capture_on_commit_callbacks(execute=True):
        answer_waiting(worker, 32)
    assert (now(costly).state, now(costly).error_code, now(other).state) == (FAILED, "too_costly", DONE)
    assert "save it again" in now(costly).error
    assert not costly.upload_file.path.exists()


# Who pays for it


@pytest.mark.django_db
def test_two_costly_pictures_in_a_minute_make_their_client_wait(worker: Worker) -> None:
    client, other = Client(REMOTE_ADDR="203.0.113.1"), Client(REMOTE_ADDR="203.0.113.2")
    for _ in range(2):
        assert client.post("/api/queries", {"image": uploaded(CHUNKS)}).status_code == 202
    answer_waiting(worker, 32)
    assert set(Query.objects.values_list("error_code", flat=True)) == {"too_costly"}
    response = client.post("/api/queries", {"image": uploaded(picture())})
    assert (response.status_code, response.json()["error"]["code"]) == (429, "throttled")
    assert response["Retry-After"] == "60"
    assert other.post("/api/queries", {"image": uploaded(picture())}).status_code == 202


@pytest.mark.django_db
def test_one_costly_picture_a_minute_is_no_reason_to_wait(worker: Worker) -> None:
    client = Client(REMOTE_ADDR="203.0.113.1")
    for data in (CHUNKS, picture(1), picture(2)):
        assert client.post("/api/queries", {"image": uploaded(data)}).status_code == 202
        answer_waiting(worker, 32)


@pytest.mark.django_db
def test_what_the_header_shows_to_be_costly_is_refused_and_counts_as_well() -> None:
    client = Client(REMOTE_ADDR="203.0.113.1")
    for _ in range(2):
        response = client.post("/api/queries", {"image": uploaded(heic_grids())})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "too_costly")
    assert client.post("/api/queries", {"image": uploaded(picture())}).status_code == 429


def test_slow_pictures_count_as_the_uploads_that_one_core_could_take(settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 600
    throttle.charge(throttle.hashed("203.0.113.1"), 59.8)  # seconds of the minute
    throttle.check("203.0.113.1")
    throttle.check("203.0.113.1")
    with pytest.raises(Refusal):
        throttle.check("203.0.113.1")


@pytest.mark.django_db
def test_the_client_is_known_as_a_hash_until_the_answer(worker: Worker, gallery: list[Image]) -> None:
    client = Client(REMOTE_ADDR="203.0.113.1")
    client.post("/api/queries", {"image": uploaded(picture())})
    query = Query.objects.get()
    assert query.client == throttle.hashed("203.0.113.1")
    assert "203" not in str(query.client)[:3]
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).client) == (DONE, None)
