"""A running system under watch: what Prometheus and Grafana ask for is there after one upload; the log is JSON."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gallery.operations.counters import STAGES_AFTER, STAGES_OF_BATCH, STAGES_OF_QUERY
from tests import fresh
from tests.drills.searching import wait_until
from tests.engine.pictures import encoded, scene
from tests.monitoring.promtool import ALERTS, DASHBOARD, promtool
from tests.stack import Stack

TOKEN = "a-token-for-tests"
# Recall is measured where the index is approximate: more embeddings than anybody wants to draw pictures for.
CROWD = """
from gallery.models import Embedding
from tests.engine.galleries import make_vectors

model_id = Embedding.objects.earliest("id").model_id
Embedding.objects.bulk_create(
    Embedding(image_id=f"{n:064x}", model_id=model_id, vector=vector.tobytes())
    for n, vector in enumerate(make_vectors(1500).astype("<f2"))
)
"""
SUFFIXES = ("_total", "_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system with an approximate index, whose recall can be measured, after one good upload."""
    directory = tmp_path_factory.mktemp("watched")
    # One child: the sweep that checks recall is then taken by the process that searched.
    stack = Stack(directory, LOG_FORMAT="json", SIMSEARCH_METRICS_TOKEN=TOKEN, SIMSEARCH_SEARCH_CHILDREN="1")
    # Before it starts: a system that runs would see the crowd and begin a build of its own.
    for command in (["shell", "-c", CROWD], ["build_index"]):
        done = fresh.python("manage.py", *command, data_dir=stack.data_dir)
        assert done.returncode == 0, done.stderr
    with stack:
        accepted = stack.ask(encoded(scene(), "JPEG"))
        assert stack.answer(accepted.json()["id"])["state"] == "done"
        yield stack


def scrape(stack: Stack) -> httpx.Response:
    return stack.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})


def samples(stack: Stack, *, wanted: set[str]) -> dict[str, float]:
    """Return the samples once all of the wanted names are among them: workers report every second and every sweep."""
    deadline = time.monotonic() + 60
    while True:
        lines = [line for line in scrape(stack).text.splitlines() if line and not line.startswith("#")]
        result = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
        missing = wanted - {name.partition("{")[0] for name in result}
        if not missing:
            return result
        assert time.monotonic() < deadline, f"not reported: {missing}\n{stack.output()}"
        time.sleep(0.5)


def named(text: str) -> set[str]:
    """Return the metrics that a text names; `simsearch` alone is the job."""
    return set(re.findall(r"\bsimsearch_\w+", text))


def test_all_that_the_dashboard_and_the_alerts_name_is_reported_after_one_upload(watched: Stack) -> None:
    names = named(DASHBOARD.read_text()) | named(ALERTS.read_text())
    assert len(names) > 20
    result = samples(watched, wanted=names)
    uploads, done = 'simsearch_uploads_total{outcome="accepted"}', 'simsearch_answers_total{code="",outcome="done"}'
    deadline = time.monotonic() + 60
    while (result[uploads], result[done]) != (1, 1):
        assert time.monotonic() < deadline, result
        result = samples(watched, wanted=names)
    assert result["simsearch_batch_size_sum"] == 1
    for stage in (*STAGES_AFTER, *STAGES_OF_QUERY, *STAGES_OF_BATCH):
        assert result[f'simsearch_stage_seconds_count{{stage="{stage}"}}'] == 1


def test_all_that_is_reported_is_on_the_dashboard_or_an_alert(watched: Stack) -> None:
    shown = named(DASHBOARD.read_text()) | named(ALERTS.read_text())
    families = set(re.findall(r"^# TYPE (\w+)", scrape(watched).text, re.MULTILINE))
    assert {family for family in families if not shown & {family, *(family + end for end in SUFFIXES)}} == set()


def test_every_process_tells_the_same(watched: Stack) -> None:
    before = samples(watched, wanted=set())
    for _ in range(30):
        watched.client.get("/healthz", headers={"Connection": "close"})
    name = 'simsearch_http_requests_total{method="GET",status="200",view="healthz"}'
    deadline = time.monotonic() + 30
    while samples(watched, wanted=set()).get(name, 0) != before.get(name, 0) + 30:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {samples(watched, wanted=set())[name] for _ in range(10)} == {before.get(name, 0) + 30}


def test_prometheus_finds_no_fault_with_the_names(watched: Stack) -> None:
    assert promtool("check", "metrics", text=scrape(watched).text) == ""


def test_without_the_token_nothing_is_reported(watched: Stack) -> None:
    refused = watched.client.get("/metrics")
    assert refused.status_code == 401
    assert "simsearch_" not in refused.text


def log_of(stack: Stack, *names: str) -> str:
    logs = stack.data_dir / "logs"
    return "".join(path.read_text() for name in names for path in sorted(logs.glob(f"{name}*.log")))


def events(stack: Stack, *names: str) -> list[dict[str, Any]]:
    """Return the lines of these programs; Celery greets its operator in plain words when it starts."""
    return [json.loads(line) for line in log_of(stack, *names).splitlines() if line.startswith("{")]


def test_all_programs_log_json_and_no_query(watched: Stack) -> None:
    programs = ("web", "search", "gallery")
    query = watched.ask(encoded(scene(), "PNG")).json()["id"]
    watched.answer(query)
    watched.client.get(f"/q/{query}")
    for program in programs:  # the gallery's starts last
        wait_until(lambda: bool(events(watched, program)), watched, 120)  # noqa: B023 (called at once)
        lines = events(watched, program)
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert all(line.startswith("{") for line in log_of(watched, "web").splitlines())
    assert query not in log_of(watched, "")

    def pages() -> list[dict[str, Any]]:
        return [line for line in events(watched, "web") if line.get("view") == "query"]

    wait_until(lambda: bool(pages()), watched, 30)  # supervisor writes a moment later
    [page] = pages()
    assert (page["event"], page["method"], page["status"]) == ("request", "GET", 200)


def test_each_batch_is_one_line(watched: Stack) -> None:
    def batches() -> list[dict[str, Any]]:
        return [line for line in events(watched, "search") if line.get("event") == "batch"]

    before = len(batches())
    watched.answer(watched.ask(encoded(scene(), "BMP")).json()["id"])
    deadline = time.monotonic() + 30
    while len(batches()) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    [result] = batches()[before:]
    assert (result["size"], result["done"], result["failed"]) == (1, 1, {})
    assert tuple(result["ms"]) == STAGES_OF_BATCH
    assert result["device"]
    assert result["generation"]
