"""Milvus is killed under searches and comes back: the site says so, searches wait, and every one is answered."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import demo, milvus
from tests.demo import jpegs
from tests.drills.searching import wait_until
from tests.stack import Stack

RED_S = 30
BACK_S = 120
UPLOADS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[milvus.Server]:
    if reason := milvus.unavailable():
        pytest.skip(reason)
    with milvus.Server() as running:
        yield running


@pytest.fixture
def searched(server: milvus.Server, tmp_path: Path) -> Iterator[Stack]:
    """Provide a system with a small gallery in a Milvus of its own."""
    demo.write_gallery(tmp_path / "photos")
    with Stack(tmp_path, tmp_path / "photos", SIMSEARCH_INDEX="milvus", SIMSEARCH_MILVUS_URI=server.uri) as running:
        yield running


def index_check(stack: Stack) -> dict[str, object]:
    checks: dict[str, dict[str, object]] = stack.client.get("/readyz").json()["checks"]
    return checks["index"]


def test_searches_wait_for_a_killed_milvus(searched: Stack, server: milvus.Server) -> None:
    wait_until(lambda: index_check(searched)["generation"] is not None, searched, BACK_S)
    picture = jpegs(1)[0]
    first = searched.answer(searched.ask(picture).json()["id"])
    assert len(first["matches"]) == 10
    asked = [searched.ask(picture).json()["id"] for _ in range(UPLOADS // 2)]
    server.stop(signal.SIGKILL)
    asked += [searched.ask(picture).json()["id"] for _ in range(UPLOADS // 2)]
    wait_until(lambda: index_check(searched)["ok"] is False, searched, RED_S)
    assert searched.client.get("/readyz").status_code == 503
    time.sleep(15)  # longer than a batch tries again: its queries wait
    states = [searched.client.get(f"/api/queries/{id_}").json()["state"] for id_ in asked]
    assert "failed" not in states
    assert set(states) & {"waiting", "running"}
    server.start()
    answers = [searched.answer(id_, BACK_S) for id_ in asked]
    assert {answer["state"] for answer in answers} == {"done"}
    assert {match["image"]["id"] for answer in answers for match in answer["matches"]} == {
        match["image"]["id"] for match in first["matches"]
    }
    wait_until(lambda: searched.client.get("/readyz").status_code == 200, searched, BACK_S)
