"""Which process holds something, and whether it still runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from gallery.operations import processes, workers
from tests.gallery.rows import gone_process
from tests.health.reports import worker
from tests.ports import free_port


def test_this_process_runs() -> None:
    assert not processes.is_gone(processes.current())


def test_a_process_names_itself() -> None:
    code = "from gallery.operations import processes; print(processes.current())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert output != processes.current()
    assert processes.is_gone(output)


def test_a_killed_process_is_gone() -> None:
    assert processes.is_gone(gone_process())


def test_a_process_is_gone_though_no_parent_has_waited_for_it() -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    with zombie.stdout:
        zombie.stdout.read()  # until it ends
    owner = processes.current().replace(str(os.getpid()), str(zombie.pid))
    deadline = time.monotonic() + 20
    while not processes.is_gone(owner):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert zombie.wait() == 0


@pytest.mark.parametrize("owner", ["", "another-host:1", "nonsense", "host:pid"])
def test_of_strangers_nothing_is_known(owner: str) -> None:
    assert not processes.is_gone(owner)


def test_a_process_of_another_host_may_have_the_number_of_one_that_is_gone_here() -> None:
    number = gone_process().rpartition(":")[2]
    assert not processes.is_gone(f"another-host:{number}")


# --- Of other hosts, which have their own process ids -----------------------------------------------------------


def stopped(name: str, s_ago: float) -> None:
    """Let a process have sent its last heartbeat so long ago."""
    with workers.connect() as redis:
        redis.hset(workers.HEARTBEATS, name, float(redis.time()[0]) - s_ago)


def test_one_of_another_host_is_gone_when_its_heartbeats_end() -> None:
    workers.beat("b/1/1:7")
    stopped("b/1/1:8", 60)
    assert processes.gone(["b/1/1:7", "b/1/1:8", "c/1/1:9", processes.current()]) == ["b/1/1:8"]


def test_while_redis_is_away_or_has_forgotten_nobody_is_gone(settings: Settings) -> None:
    stopped("b/1/1:8", 60)
    with workers.connect() as redis:
        redis.flushall()
    assert processes.gone(["b/1/1:8"]) == []
    stopped("b/1/1:8", 60)
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert processes.gone(["b/1/1:8"]) == []


def test_heartbeats_of_long_ago_are_forgotten() -> None:
    stopped("b/1/1:8", workers.REMEMBERED_S + 60)
    processes.gone(["b/1/1:9"])
    with workers.connect() as redis:
        assert redis.hgetall(workers.HEARTBEATS) == {}


def test_machines_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = gone_process()
    (tmp_path / "machine-id").write_text("another\n")
    monkeypatch.setattr(processes, "MACHINE_ID", tmp_path / "machine-id")
    processes._host_and_namespace.cache_clear()
    try:
        assert not processes.is_gone(ended)
    finally:
        processes._host_and_namespace.cache_clear()


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_worker_whose_clock_is_wrong_is_as_alive_as_others(ahead_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + ahead_s)
    worker("wrong")
    monkeypatch.undo()
    [entry] = workers.alive()
    assert abs(entry.at - time.time()) < 10
    assert workers.is_moving([entry])
