"""kill -9 in the middle of the work: every accepted upload is still answered, once."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.drills.test_way_of_a_query import some
from tests.stack import Stack

SEARCH = "--queues search"


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own; a short lease, so that the drill need not wait long for it to be over."""
    directory = tmp_path_factory.mktemp("doomed")
    with Stack(directory, SIMSEARCH_ANSWER_LIMIT_S="5", SIMSEARCH_BATCH="8") as running:
        yield running


def kill(stack: Stack, pids: list[int]) -> None:
    assert pids, stack.output()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def children(stack: Stack) -> list[int]:
    parents = stack.pids(SEARCH)
    return [pid for pid in parents if _parent(pid) in parents]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.parametrize("whom", ["child", "worker", "all"])
def test_uploads_survive_a_killed_worker(doomed: Stack, whom: str) -> None:
    victims: dict[str, Callable[[], list[int]]] = {
        "child": lambda: children(doomed)[:1],
        "worker": lambda: sorted(set(doomed.pids(SEARCH)) - set(children(doomed)))[:1],
        "all": lambda: doomed.pids(SEARCH),
    }
    killer = threading.Timer(0.4, lambda: kill(doomed, victims[whom]()))
    killer.start()
    with ThreadPoolExecutor(8) as threads:
        accepted = list(threads.map(doomed.ask, some(64)))
    killer.join()
    assert {response.status_code for response in accepted} == {202}
    answers = [doomed.answer(response.json()["id"], timeout_s=120) for response in accepted]
    assert {answer["state"] for answer in answers} == {"done"}
    assert all(len(answer["matches"]) == 10 for answer in answers)
    doomed.wait_ready(60)
    time.sleep(0.5)
    assert doomed.client.get("/readyz").json()["checks"]["waiting"]["count"] == 0


def test_every_search_process_that_lives_is_reported(doomed: Stack) -> None:
    kill(doomed, children(doomed)[:1])
    deadline = time.monotonic() + 90
    while (told := doomed.client.get("/readyz").json()["checks"]["worker"]["count"]) != len(children(doomed)):
        assert time.monotonic() < deadline, f"{told} are reported:\n{doomed.output()}"
        time.sleep(0.5)
