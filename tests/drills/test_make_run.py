"""`make run` from the first line to the last process: real Redis, workers, gunicorn and Flower."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.demo import write_gallery
from tests.local.starter import left_running, one_clear_line, start
from tests.stack import Stack, free_port

PROMISED_S = 60


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as running:
        yield running


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Stack]:
    """With nothing there but photographs."""
    photos = write_gallery(tmp_path / "photos")
    with Stack(tmp_path, photos) as running:
        yield running


def test_it_serves_and_ctrl_c_leaves_nothing_running(first: Stack) -> None:
    _wait_for_the_addresses(first)
    said = (first.directory / "run.log").read_text()
    assert f"http://127.0.0.1:{first.port}/" in said
    assert "createsuperuser" in said
    assert "<title>" in first.client.get("/").text

    picture = next(first.photos.rglob("*.jpg")).read_bytes()
    answer = first.answer(first.ask(picture).json()["id"])
    assert answer["state"] == "done"
    assert len(answer["matches"]) == 10
    assert answer["matches"][0]["similarity"] > 0.99

    flower = re.search(r"http://127\.0\.0\.1:\d+/flower/", said)
    assert flower
    assert httpx.get(flower[0]).status_code == 200
    assert "already running" in one_clear_line(start(first.data_dir, "--port", str(free_port())))

    first.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    first.process.send_signal(signal.SIGINT)  # impatience is harmless
    assert first.process.wait(PROMISED_S) == 0
    assert left_running(first.data_dir) == []
    assert (first.directory / "run.log").read_text().endswith("Stopped.\n")


def test_a_second_start_keeps_everything_and_takes_seconds(system: Stack) -> None:
    _wait_for_the_addresses(system)
    before = system.client.get("/api/images").json()
    system.stop()
    began = time.monotonic()
    with Stack(system.directory, system.photos, system.database) as again:
        _wait_for_the_addresses(again)
        assert time.monotonic() - began < PROMISED_S
        after = again.client.get("/api/images").json()
        assert [image["id"] for image in after["images"]] == [image["id"] for image in before["images"]]


def test_killing_the_parent_leaves_nothing_running(system: Stack) -> None:
    system.process.kill()
    system.process.wait()
    _wait_until_gone(system.data_dir)


def test_a_killed_supervisord_is_started_again_with_every_program(system: Stack) -> None:
    _wait_for_the_addresses(system)
    before = {words: set(system.pids(words)) for words in ("launch.supervisord", "--queues search", "bin/gunicorn")}
    [supervisord] = before["launch.supervisord"]
    os.kill(supervisord, signal.SIGKILL)
    deadline = time.monotonic() + PROMISED_S
    while any(not system.pids(words) or set(system.pids(words)) & pids for words, pids in before.items()):
        assert time.monotonic() < deadline, system.output()
        time.sleep(0.1)
    system.wait_ready()
    picture = next(system.photos.rglob("*.jpg")).read_bytes()
    assert system.answer(system.ask(picture).json()["id"])["state"] == "done"
    assert "supervisord ended by itself; starting it again." in (system.directory / "run.log").read_text()
    system.stop()
    assert left_running(system.data_dir) == []


def test_a_closed_terminal_stops_everything(system: Stack) -> None:
    system.process.send_signal(signal.SIGHUP)
    assert system.process.wait(PROMISED_S) == 0
    assert left_running(system.data_dir) == []


def _wait_for_the_addresses(system: Stack) -> None:
    deadline = time.monotonic() + PROMISED_S
    while "Press Ctrl-C to stop." not in (system.directory / "run.log").read_text():
        assert time.monotonic() < deadline, system.output()
        time.sleep(0.1)


def _wait_until_gone(data_dir: Path) -> None:
    deadline = time.monotonic() + PROMISED_S
    while left := left_running(data_dir):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
