"""PostgreSQL under two search workers: they share the work, and its restart loses no answer."""

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.demo import jpegs
from tests.postgres import Cluster, unavailable
from tests.stack import Stack

SHARED, RESTARTED = 500, 200
ASKERS = 16
GUNICORN_THREADS = 8
PACE_S = 0.4  # of each asker while the server restarts: the 200 take a few seconds
AWAY_S = 2.0
PATIENCE_S = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Provide one that may be restarted: nobody else is on it."""
    if reason := unavailable():
        pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two_workers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a search worker with two children, as with two GPUs; small batches, so that both work."""
    with Stack(
        tmp_path_factory.mktemp("shared"),
        database={"DATABASE_URL": cluster.url},
        CUDA_VISIBLE_DEVICES="0,1",
        SIMSEARCH_BATCH="8",
        SIMSEARCH_UPLOADS_PER_MINUTE="1000000",
    ) as running:
        yield running


def answered(stack: Stack) -> int:
    """Return how many queries the workers say that they have finished, by the line of each batch."""
    log = (stack.data_dir / "logs" / "search.log").read_text()
    return sum(map(int, re.findall(r"batch of \d+: (\d+) done", log)))


def test_two_workers_share_five_hundred_queries(two_workers: Stack) -> None:
    pictures = jpegs(50)
    before = answered(two_workers)
    with ThreadPoolExecutor(ASKERS) as askers:
        accepted = list(askers.map(two_workers.ask, pictures * (SHARED // len(pictures))))
    assert Counter(response.status_code for response in accepted) == {202: SHARED}
    answers = [two_workers.answer(response.json()["id"], PATIENCE_S) for response in accepted]
    assert Counter(answer["state"] for answer in answers) == {"done": SHARED}

    assert two_workers.rows("SELECT count(*), count(DISTINCT id), max(attempts) FROM gallery_query") == [
        (SHARED, SHARED, 1)
    ]
    assert set(two_workers.matches()) == {10}
    assert answered(two_workers) - before == SHARED  # none was answered twice
    by_child = two_workers.rows("SELECT count(*) FROM gallery_query GROUP BY claimed_by")
    print(f"the two children answered {by_child}")
    assert len(by_child) == 2
    assert min(count for (count,) in by_child) > SHARED / 10


def test_no_connection_is_shared_between_processes(two_workers: Stack, cluster: Cluster) -> None:
    with ThreadPoolExecutor(ASKERS) as askers:
        answers = list(askers.map(two_workers.client.get, ["/gallery/"] * SHARED))
    assert {response.status_code for response in answers} == {200}
    held = {pid: connections(pid, cluster.port) for pid in two_workers.pids()}
    holders = Counter(connection for its in held.values() for connection in its)
    assert set(holders.values()) == {1}
    web = [len(held[pid]) for pid in two_workers.pids("gunicorn")]
    workers = [len(held[pid]) for pid in two_workers.pids("celery", "worker")]
    print(f"connections: web {sorted(web)}, workers {sorted(workers)}")
    assert min(web) == 0  # the master, which forks
    assert 0 < max(web) <= GUNICORN_THREADS
    assert max(workers) <= 1


def connections(pid: int, port: int) -> set[str]:
    """Return the open sockets of a process that lead to this port of the loopback."""
    lines = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    there = {f"socket:[{fields[9]}]" for fields in lines if fields[2].endswith(f":{port:04X}") and fields[3] == "01"}
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(descriptor.readlink()))
    return there & found


class Askers:
    """People who upload, try again after the Retry-After, and watch their answers; each notes every status it got."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.statuses: Counter[int] = Counter()
        self.ids: list[str] = []
        self._pictures = jpegs(20)
        self._lock = threading.Lock()

    def ask(self, number: int) -> None:
        while (response := self.stack.ask(self._pictures[number % len(self._pictures)])).status_code != 202:
            self._note(response)
            assert response.status_code == 503, response.text
            time.sleep(0.5)
        self._note(response)
        id_ = response.json()["id"]
        with self._lock:
            self.ids.append(id_)
        self._note(self.stack.client.get(f"/q/{id_}"))
        self._note(self.stack.client.get("/gallery/"))
        time.sleep(PACE_S)

    def _note(self, response: httpx.Response) -> None:
        with self._lock:
            self.statuses[response.status_code] += 1


def state(stack: Stack, id_: str, deadline: float) -> str:
    """Where a query ends, whatever the answers before were."""
    while True:
        response = stack.client.get(f"/api/queries/{id_}")
        if response.status_code == 200 and response.json()["state"] in {"done", "failed"}:
            return str(response.json()["state"])
        assert response.status_code in {200, 503}, response.text
        assert time.monotonic() < deadline, f"{response.text}\n{stack.output()}"
        time.sleep(0.1)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in good order", "a crash"])
def test_no_query_is_lost_when_the_server_restarts(two_workers: Stack, cluster: Cluster, how: signal.Signals) -> None:
    askers = Askers(two_workers)
    with ThreadPoolExecutor(ASKERS) as threads:
        queries = [threads.submit(askers.ask, number) for number in range(RESTARTED)]
        while len(askers.ids) < RESTARTED / 4:
            time.sleep(0.02)
        cluster.stop(how)
        time.sleep(AWAY_S)
        cluster.start()
        for thread in queries:
            thread.result()
    print(f"answers by status: {dict(askers.statuses)}")
    assert set(askers.statuses) <= {200, 202, 503}
    assert len(set(askers.ids)) == RESTARTED
    deadline = time.monotonic() + PATIENCE_S
    assert Counter(state(two_workers, id_, deadline) for id_ in askers.ids) == {"done": RESTARTED}
    two_workers.wait_ready(PATIENCE_S)
    assert two_workers.rows("SELECT count(*) FROM gallery_query WHERE state <> 'done'") == [(0,)]
    assert set(two_workers.matches()) == {10}
    print(f"attempts: {two_workers.rows('SELECT attempts, count(*) FROM gallery_query GROUP BY 1 ORDER BY 1')}")
