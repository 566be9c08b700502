"""Ten picture bombs of a kind arrive at once: the others' searches go on, and the worker keeps its memory."""

import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat

import psutil
import pytest

from tests.drills.searching import LONG, InBackground, Searches, wait_until
from tests.engine.bombs import BOMBS, slow_png
from tests.stack import Stack

AT_ONCE = 10
MOST_MB, MOST_DELAY_S = 900, 2.0
PATIENCE_S = 120
SOME = ("heic, a grid", "heic, grids of grids", "gif, comments", "png, chunks")
KINDS = (BOMBS if LONG else {name: BOMBS[name] for name in SOME}) | {"png, slow": slow_png}


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system that believes its clients' addresses, so that each bomb can come from another one."""
    with Stack(tmp_path_factory.mktemp("bombed"), FORWARDED_ALLOW_IPS="127.0.0.1") as running:
        yield running


def memory_mb(stack: Stack) -> list[float]:
    """Return what each process of the search worker takes, decoders included; what they share is divided among them."""
    parent = psutil.Process(min(stack.pids("--queues search")))
    taken = []
    for process in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a decoder that was ended
            taken.append(_memory_bytes(process) / 1e6)
    return taken


def _memory_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:  # a decoder shows it to nobody but root
        return int(process.memory_info().rss)


class Memory(InBackground):
    """During a block: the most that a process of the search worker took, and that all took together beyond before."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(self._look, threads=1, pace_s=0.1)
        self.stack, self.most_mb, self.more_mb = stack, 0.0, 0.0
        self._before_mb = sum(memory_mb(stack))

    def _look(self, _: int) -> None:
        taken = memory_mb(self.stack)
        self.most_mb = max(self.most_mb, *taken)
        self.more_mb = max(self.more_mb, sum(taken) - self._before_mb)


def throw(stack: Stack, data: bytes, address: str) -> str:
    """Upload a bomb from this address; returns the code of its end."""
    headers = {"X-Forwarded-For": address}
    response = stack.client.post("/api/queries", files={"image": ("picture", data)}, headers=headers)
    if response.status_code != 202:
        return str(response.json()["error"]["code"])
    answer = stack.answer(response.json()["id"], PATIENCE_S)
    return str(answer["error"]["code"]) if answer["error"] else "done"


def latencies_s(searches: Searches, since: float = 0.0) -> list[float]:
    return [search.done_at - search.at for search in searches.answered if search.at >= since]


@pytest.mark.skipif(os.environ.get("SIMSEARCH_TEST_DATABASE") == "postgres", reason="is about the workers alone")
def test_ten_bombs_at_once_delay_no_search_and_cost_no_memory(bombed: Stack) -> None:
    picture = next(bombed.photos.rglob("*.jpg")).read_bytes()
    pids = bombed.pids("--queues search")
    with Searches(bombed, {"other": picture}, threads=2, pace_s=0.3, patience_s=PATIENCE_S) as searches:
        wait_until(lambda: len(searches.answered) >= 20, bombed, PATIENCE_S)
        usual_s = statistics.median(latencies_s(searches))
        for kind, (name, make) in enumerate(KINDS.items()):
            data, began = make(), time.time()
            with Memory(bombed) as memory, ThreadPoolExecutor(AT_ONCE) as clients:
                addresses = [f"203.0.{kind}.{number}" for number in range(AT_ONCE)]
                ends = Counter(clients.map(throw, repeat(bombed), repeat(data), addresses))
            longest_s = max(latencies_s(searches, began), default=usual_s)
            print(
                f"{name}: {dict(ends)}; at most {memory.most_mb:.0f} MB, together {memory.more_mb:.0f} MB more; "
                f"searches took {longest_s:.2f} s at most, usually {usual_s:.2f} s"
            )
            assert set(ends) <= {"done", "too_costly", "too_many_pixels"}
            assert max(memory.most_mb, memory.more_mb) < MOST_MB
            if LONG:  # the short drill runs beside other tests, which delay a search as well
                assert longest_s - usual_s < MOST_DELAY_S
    assert searches.failures == []
    assert bombed.pids("--queues search") == pids
