"""The report of one batch: in the log and in the counters."""

import json
import logging

import pytest

from engine.networks.embedder import Embedder
from gallery.models import Image
from gallery.operations import counters
from tasks.queries.answer import answer_waiting
from tasks.search.neighbours import Neighbours
from tasks.worker import Worker
from tests.tasks.conftest import Ask
from tests.tasks.queries.test_answer import BrokenEmbedder

STAGES = {"claim", "decode", "embed", "search", "finish"}


def counted() -> dict[tuple[str, str], float]:
    """Return the samples by name and stage."""
    return {
        (sample.name, sample.labels.get("stage", "")): sample.value
        for family in counters.totals()
        for sample in family.samples
        if "le" not in sample.labels
    }


def line(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """Return the one line of the batch."""
    [record] = [record for record in caplog.records if getattr(record, "event", "") == "batch"]
    return record


def test_a_batch_is_one_line(worker: Worker, gallery: list[Image], ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    good, bad, gone = ask(1), ask(2), ask(3)
    bad.upload_file.path.write_bytes(b"not a picture")
    gone.upload_file.path.unlink()
    caplog.set_level(logging.INFO)
    answer_waiting(worker, 32)
    assert line(caplog).levelno == logging.INFO
    records = line(caplog).__dict__
    assert (records["size"], records["done"], records["failed"]) == (3, 1, {"unsupported_format": 1, "gone": 1})
    assert (records["device"], records["generation"]) == (worker.embedder.device, None)
    assert records["ms"].keys() == STAGES
    assert all(ms >= 0 for ms in records["ms"].values())
    said = json.dumps(records, default=str) + line(caplog).getMessage()
    assert not any(str(query.pk) in said or query.picture_file.path.name in said for query in (good, bad, gone))


def test_a_batch_is_counted_with_its_stages(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    for number in range(3):
        ask(number)
    before = counted()
    answer_waiting(worker, 32)
    after = counted()
    change = {key: after[key] - before.get(key, 0) for key in after}
    assert change["simsearch_batch_size_count", ""] == 1
    assert change["simsearch_batch_size_sum", ""] == 3
    assert {stage: change["simsearch_stage_seconds_count", stage] for stage in STAGES} == dict.fromkeys(STAGES, 1)
    of_query = ("accept", "queue", "total")
    assert {stage: change["simsearch_stage_seconds_count", stage] for stage in of_query} == dict.fromkeys(of_query, 3)
    parts = sum(change["simsearch_stage_seconds_sum", stage] for stage in ("decode", "embed", "search"))
    assert change["simsearch_stage_seconds_sum", "total"] > parts  # three times, and waiting besides


def test_a_broken_batch_says_so(
    embedder: Embedder, gallery: list[Image], ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    ask(1)
    before = counted()
    broken = Worker(BrokenEmbedder(embedder), Neighbours(embedder.model_id))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        answer_waiting(broken, 32)
    records = line(caplog)
    assert (records.levelno, records.__dict__["exception"], records.__dict__["done"]) == (
        logging.ERROR,
        "RuntimeError",
        0,
    )
    assert records.__dict__["ms"].keys() == {"claim", "decode"}  # it came as far as that
    after = counted()
    assert after["simsearch_broken_batches_total", ""] - before["simsearch_broken_batches_total", ""] == 1


def test_a_message_without_work_says_nothing(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = counted()
    assert len(answer_waiting(worker, 32)) == 0
    assert [record for record in caplog.records if getattr(record, "event", "") == "batch"] == []
    assert counted() == before
