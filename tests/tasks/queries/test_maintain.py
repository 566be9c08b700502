"""The sweep: workers are woken for what was forgotten, and what was left behind is released."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from gallery.models import Image, Query
from gallery.operations import processes, workers
from gallery.queries import lifecycle
from tasks import worker as process
from tasks.indexing.build import build_generation
from tasks.tasks import expire, sweep
from tasks.worker import Worker
from tests.tasks.conftest import Ask, add


@pytest.fixture
def swept(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Make this process count as a worker that has loaded already."""
    monkeypatch.setattr(process, "_current", worker)
    return worker


def messages(queue: str) -> int:
    with workers.connect() as client:
        return int(client.llen(queue))


def test_a_query_past_its_lease_waits_again(
    swept: Worker, ask: Ask, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    query = ask(1)
    lifecycle.claim(1)
    Query.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert sweep() == 1
    query.refresh_from_db()
    assert (query.state, query.attempts) == (Query.State.WAITING, 1)
    assert messages("search") == 1


def test_a_query_of_a_killed_process_waits_again_at_once(swept: Worker, ask: Ask) -> None:
    ask(1)
    lifecycle.claim(1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    Query.objects.update(claimed_by=processes.current().replace(str(os.getpid()), str(dead.pid)))
    assert sweep() == 1


def test_a_query_of_a_living_process_is_left_alone(swept: Worker, ask: Ask) -> None:
    ask(1)
    lifecycle.claim(1)
    assert sweep() == 0
    Query.objects.update(claimed_by="another-host:1")
    assert sweep() == 0


def test_a_query_that_lost_its_message_wakes_a_worker(
    swept: Worker, ask: Ask, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ask(1)
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    assert messages("search") == 0
    Query.objects.update(waiting_since=timezone.now() - timedelta(seconds=10))
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    assert messages("search") == 1


def test_a_picture_without_an_embedding_wakes_a_worker(
    swept: Worker, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    add(1)
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    assert messages("gallery") == 1


def test_a_sweep_reports_the_worker(swept: Worker, gallery: list[Image]) -> None:
    sweep()
    [report] = workers.alive()
    assert report.model_id == swept.embedder.model_id


@pytest.mark.annoy
@pytest.mark.parametrize("lost", ["manifest.json", "."])
def test_an_index_that_was_deleted_under_a_worker_shows_with_its_next_heartbeat(
    swept: Worker, gallery: list[Image], client: Client, lost: str
) -> None:
    generation = build_generation(swept.embedder.model_id)
    sweep()
    assert "problem" not in client.get("/readyz").json()["checks"]["index"]
    away = generation.directory.parent / "elsewhere"
    (generation.directory / lost).resolve().rename(away)
    swept.report()
    assert f"generation {generation.number} are gone" in client.get("/readyz").json()["checks"]["index"]["problem"]
    away.rename((generation.directory / lost).resolve())
    swept.report()
    assert "problem" not in client.get("/readyz").json()["checks"]["index"]


def test_old_finished_queries_expire_with_their_pictures(
    ask: Ask, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    old, unfinished, young = ask(1), ask(2), ask(3)
    Query.objects.exclude(pk=unfinished.pk).update(state=Query.State.DONE)
    Query.objects.exclude(pk=young.pk).update(created_at=timezone.now() - timedelta(days=8))
    with django_capture_on_commit_callbacks(execute=True):
        assert expire() == 1
    assert not old.upload_file.path.exists()
    assert {query.pk for query in Query.objects.all()} == {unfinished.pk, young.pk}
