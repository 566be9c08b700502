"""`/readyz` and `/metrics` turn red within 15 s of a fault, and green within 15 s of its cure."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from simsearch.launch.supervisor import BIN
from tests.deployment.outside import Redis
from tests.drills.locking import locked_database
from tests.drills.searching import LONG
from tests.drills.test_killed_workers import SEARCH, children
from tests.stack import Stack

PROMISED_S = 15
LASTS_S = 13  # longer than what workers said last counts
LOOK_EVERY_S = 0.5
ASKING_S = 5  # what Prometheus grants a scrape (docs/operations.md)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Provide one that supervisor does not start again."""
    with Redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def stack(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), REDIS_URL=redis.url) as running:
        yield running


# --- What is red ----------------------------------------------------------------------------------------------


def looks(stack: Stack) -> tuple[bool, bool]:
    """Tell whether /readyz and /metrics say that all is well. What gives no answer does not."""
    ready, metrics = (ask(stack, path) for path in ("/readyz", "/metrics"))
    is_ready = ready is not None and ready.status_code == 200 and "problem" not in ready.text
    return is_ready, metrics is not None and metrics.status_code == 200 and is_green(metrics.text)


def ask(stack: Stack, path: str) -> httpx.Response | None:
    try:
        return stack.client.get(path, timeout=ASKING_S)
    except httpx.TransportError:
        return None


def is_green(metrics: str) -> bool:
    """As docs/monitoring/alerts.yml judges them, without its patience."""

    def value(name: str) -> float:
        return sum(float(result) for result in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE))

    lives = value("simsearch_redis_up") == 1 and value("simsearch_workers") > 0 and value("simsearch_queue_moving") == 1
    return lives and value("simsearch_oldest_waiting_seconds") <= 10 and value("simsearch_index_problem_workers") == 0


def wait_for(stack: Stack, wanted: tuple[bool, bool], patience_s: float) -> float:
    """Return how long it took until both say so."""
    began = time.monotonic()
    while (seen := looks(stack)) != wanted:
        assert time.monotonic() < began + patience_s, f"{seen}\n{ask(stack, '/readyz')}\n{stack.output()}"
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began


# --- The faults -----------------------------------------------------------------------------------------------


class Fault(Protocol):
    __name__: str

    def __call__(self, stack: Stack, redis: Redis) -> AbstractContextManager[None]: ...


HELD, GONE = "The search workers take nothing off their queue.", "No search worker has sent a heartbeat lately."


def supervisorctl(stack: Stack, *arguments: str) -> None:
    """Run a command as an operator types it."""
    control = f"unix://{stack.data_dir}/run/supervisor.sock"
    subprocess.run([BIN / "supervisorctl", "-s", control, *arguments], check=True, capture_output=True, timeout=60)


@contextmanager
def held(pids: list[int]) -> Iterator[None]:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def workers_held(stack: Stack, redis: Redis) -> AbstractContextManager[None]:
    return held(stack.pids(SEARCH))


def a_live_worker_with_a_stalled_queue(stack: Stack, redis: Redis) -> AbstractContextManager[None]:
    """Return its children go on telling that they live, and get no task any more."""
    return held(sorted(set(stack.pids(SEARCH)) - set(children(stack))))


@contextmanager
def workers_gone(stack: Stack, redis: Redis) -> Iterator[None]:
    supervisorctl(stack, "stop", "simsearch:search")
    yield
    supervisorctl(stack, "start", "simsearch:search")


@contextmanager
def redis_gone(stack: Stack, redis: Redis) -> Iterator[None]:
    redis.process.kill()
    redis.process.wait()
    yield
    redis.__enter__()


def redis_silent(stack: Stack, redis: Redis) -> AbstractContextManager[None]:
    return held([redis.process.pid])


def database_locked(stack: Stack, redis: Redis) -> AbstractContextManager[None]:
    return locked_database(stack)


@contextmanager
def index_damaged(stack: Stack, redis: Redis) -> Iterator[None]:
    """Damage what a worker opens when it starts. It still searches, only more slowly."""
    [directory] = stack.data_dir.glob("index/*")
    vectors = directory / "vectors.npy"
    damaged = bytearray(vectors.read_bytes())
    damaged[-1] ^= 1
    replace(vectors, bytes(damaged))
    supervisorctl(stack, "restart", "simsearch:search")
    yield
    built = stack.manage("build_index")
    assert built.returncode == 0, built.stderr


def replace(path: Path, data: bytes) -> None:
    """Replace the file; the old content stays for those who have it mapped."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(data)
    shutil.move(fresh, path)


FAULTS: list[tuple[Fault, str]] = [
    (a_live_worker_with_a_stalled_queue, HELD),
    (workers_gone, GONE),
    (redis_gone, "ConnectionError"),
    (database_locked, HELD),
    (index_damaged, "vectors.npy is damaged"),
]
if LONG:
    FAULTS += [(workers_held, GONE), (redis_silent, "TimeoutError")]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_and_its_cure_show_in_time(stack: Stack, redis: Redis, fault: Fault, reason: str) -> None:
    wait_for(stack, (True, True), 2 * PROMISED_S)
    with fault(stack, redis):
        red_s = wait_for(stack, (False, False), 3 * PROMISED_S)
        time.sleep(max(0, LASTS_S - red_s))
        assert reason in stack.client.get("/readyz").text
    green_s = wait_for(stack, (True, True), 3 * PROMISED_S)
    print(f"{fault.__name__}: red after {red_s:.1f} s, green after {green_s:.1f} s")
    assert red_s < PROMISED_S
    assert green_s < PROMISED_S
