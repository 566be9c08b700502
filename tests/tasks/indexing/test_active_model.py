"""One process and the active model: it changes between two batches, and nothing mixes."""

import logging
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from engine.errors import BadWeights
from engine.networks.embedder import Embedder
from gallery.index import generations
from gallery.models import Embedding, Image, Query
from gallery.operations import workers
from gallery.queries import accept
from gallery.results import matches
from gallery.timings import Stopwatch
from tasks import worker as process
from tasks.indexing.build import build_generation
from tasks.indexing.embedding import embed_step
from tasks.queries.answer import answer_waiting
from tasks.tasks import answer, curate, sweep
from tasks.worker import Worker
from tests import fresh
from tests.tasks.conftest import Ask, add
from tests.tasks.weights import retrained


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    weights = retrained(tmp_path_factory.mktemp("weights") / "other.safetensors")
    return Embedder.load("efficientnet_lite0", device="cpu", weights=weights, threads=1)


@pytest.fixture
def running(
    worker: Worker, embedder: Embedder, other: Embedder, gallery: list[Image], monkeypatch: pytest.MonkeyPatch
) -> Worker:
    """Return the worker of this process, which runs the default model and can load the other one."""
    build_generation(embedder.model_id)
    worker.neighbours.refresh()
    worker.load = {one.model_id: one for one in (embedder, other)}.__getitem__
    monkeypatch.setattr(process, "_current", worker)
    return worker


def change_to(embedder: Embedder) -> None:
    embed_step(embedder, 100)
    assert generations.serve(generations.newest(embedder.model_id) or build_generation(embedder.model_id))


def titles(query: Query) -> list[str]:
    query.refresh_from_db()
    assert query.state == Query.State.DONE
    return [match.image.title for match in matches.shown(query)]


def test_the_next_batch_is_of_the_active_model(running: Worker, embedder: Embedder, other: Embedder, ask: Ask) -> None:
    before, after = ask(3), None
    answer()
    change_to(other)
    after = ask(3)
    answer()
    assert titles(before)[0] == titles(after)[0] == "3"
    assert (before.model_id, after.model_id) == (embedder.model_id, other.model_id)
    assert after.generation == generations.active().number  # type: ignore[union-attr]
    assert after.images == 16


def test_a_change_while_a_batch_is_answered_waits_for_the_next(
    running: Worker, embedder: Embedder, other: Embedder, ask: Ask
) -> None:
    """The row changes after the worker looked and before it searched."""
    query, first = ask(3), generations.active()
    worker = process.current()
    change_to(other)
    answer_waiting(worker, 32)
    assert titles(query)[0] == "3"
    assert (query.model_id, query.generation) == (embedder.model_id, first.number)  # type: ignore[union-attr]


def test_back_and_forth(running: Worker, embedder: Embedder, other: Embedder, ask: Ask) -> None:
    models = []
    for chosen in (other, embedder, other):
        change_to(chosen)
        query = ask(5)
        answer()
        assert titles(query)[0] == "5"
        models.append(query.model_id)
    assert models == [other.model_id, embedder.model_id, other.model_id]


def test_more_like_this_is_searched_by_the_active_model(running: Worker, other: Embedder, ask: Ask) -> None:
    change_to(other)
    image = Image.objects.get(title="4")
    query = accept.store(accept.Pictures(like=[image]), accept.Parameters(), Stopwatch(image.created_at))
    answer()
    assert "4" not in titles(query)
    assert query.model_id == other.model_id


def test_what_is_added_after_the_change_is_embedded_by_the_active_model(
    running: Worker, other: Embedder, ask: Ask
) -> None:
    change_to(other)
    added = add(40)
    assert curate() == 1
    assert [row.model_id for row in Embedding.objects.filter(image=added)] == [other.model_id]
    query = ask(40)
    answer()
    assert titles(query)[0] == "40"


def test_one_that_cannot_be_loaded_leaves_the_worker_with_what_it_has(
    running: Worker, embedder: Embedder, other: Embedder, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(model_id: str) -> Embedder:
        raise BadWeights(f"The weights of {model_id} are not here.")

    running.load = lost
    change_to(other)
    query = ask(3)
    with caplog.at_level(logging.ERROR):
        answer()
        sweep()
    assert titles(query)[0] == "3"
    assert query.model_id == embedder.model_id
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    [report] = workers.alive()
    assert report.model_id == embedder.model_id
    assert report.index_problem == f"The weights of {other.model_id} are not here."
    change_to(embedder)
    sweep()
    assert workers.alive()[0].index_problem == ""


def test_a_worker_says_what_the_environment_asks_for_in_vain(
    running: Worker, embedder: Embedder, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SIMSEARCH_MODEL = "alexnet"
    with caplog.at_level(logging.WARNING):
        sweep()
        sweep()
    output = "manage.py switch_model alexnet"
    assert len([record for record in caplog.records if output in record.message]) == 1
    assert output in workers.alive()[0].index_problem


def test_the_database_check_says_so_too(running: Worker, settings: Settings) -> None:
    assert run_checks(databases=["default"]) == []
    settings.SIMSEARCH_MODEL = "vgg16"
    [warning] = run_checks(databases=["default"])
    assert warning.id == "simsearch.W001"
    assert "manage.py switch_model vgg16" in warning.msg
    assert run_checks() == []  # the plain check asks no database


def test_a_worker_waits_for_its_database(tmp_path: Path) -> None:
    """In a process of its own: once started, it sends heartbeats until it ends."""
    start = "import django; django.setup(); from tasks import worker; worker.start()"
    ended = fresh.python("-c", start, data_dir=tmp_path)  # its database has no tables
    assert ended.returncode == 0, ended.stderr
    [line] = ended.stderr.splitlines()
    assert "this worker waits for its database" in line
