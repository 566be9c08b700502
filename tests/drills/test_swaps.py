"""A hundred swaps of the index under load: no search fails."""

import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stack import ROOT, Stack

SWAPS = 100
QUERIES_PER_S = 50
ASKERS = 8
BEHIND = 25  # queries posed before the answer of one is fetched: half a second

BUILDS = 20

# Builds and goes back to the one before, over and over; then to and fro between two. Each step is a swap.
SWAP = f"""
import itertools, time
from gallery.index import generations
from gallery.models import IndexGeneration
from tasks.indexing.build import build_generation
model_id = generations.active().model_id
for _ in range({BUILDS}):
    print("swapped", build_generation(model_id, lambda _: None).number, flush=True)
    print("swapped", generations.roll_back().number, flush=True)
two = IndexGeneration.objects.filter(state="ready")[:2]
for generation in itertools.islice(itertools.cycle(two), {SWAPS - 2 * BUILDS}):
    generations._switch_to(generation)
    print("swapped", generation.number, flush=True)
    time.sleep(0.2)
"""

Answer = dict[str, Any]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system of its own that takes as many queries as come."""
    with Stack(tmp_path_factory.mktemp("busy"), SIMSEARCH_UPLOADS_PER_MINUTE="1000000") as running:
        yield running


class Load:
    """Searches like gallery pictures, so many a second, until it is stopped."""

    def __init__(self, stack: Stack, images: list[str]) -> None:
        self.stack = stack
        self.images = images
        self.answers: list[tuple[str, Answer]] = []
        self.refusals: list[str] = []
        self.took_s = 0.0
        self._over = threading.Event()
        self._posed: deque[tuple[str, str]] = deque()

    def run(self) -> None:
        """Pose and fetch; whatever is late is made up for."""
        began, posed = time.monotonic(), 0
        with ThreadPoolExecutor(ASKERS) as askers:
            while not self._over.is_set():
                due = int((time.monotonic() - began) * QUERIES_PER_S)
                wave = range(posed, min(due, posed + ASKERS))
                list(askers.map(self._step, wave))
                posed += len(wave)
                self._over.wait(0.005)
        self.took_s = time.monotonic() - began
        while self._posed:
            self._fetch()

    def stop(self) -> None:
        self._over.set()

    def _step(self, number: int) -> None:
        image = self.images[number % len(self.images)]
        accepted = self.stack.client.post("/api/queries", data={"like": image})
        if accepted.status_code != 202:
            self.refusals.append(accepted.text)
            return
        self._posed.append((image, accepted.json()["id"]))
        if len(self._posed) > BEHIND:
            self._fetch()

    def _fetch(self) -> None:
        image, query = self._posed.popleft()
        self.answers.append((image, self.stack.answer(query)))


def swap(environment: dict[str, str]) -> list[int]:
    """Return the number of each generation that became active, in this order."""
    command = [sys.executable, "manage.py", "shell", "-c", SWAP]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in re.findall(r"^swapped (\d+)$", done.stdout, re.MULTILINE)]


def found(answer: Answer) -> list[tuple[str, float]]:
    return [(match["image"]["id"], match["similarity"]) for match in answer["matches"]]


def test_a_hundred_swaps_under_load_are_not_noticed(busy: Stack) -> None:
    images = [image["id"] for image in busy.client.get("/api/images").json()["images"]]
    queries = {i: busy.client.post("/api/queries", data={"like": i}).json()["id"] for i in images}
    true = {image: found(busy.answer(query)) for image, query in queries.items()}
    assert all(len(matches) == 10 for matches in true.values())
    first = busy.client.get("/readyz").json()["checks"]["index"]["generation"]

    load = Load(busy, images)
    loading = threading.Thread(target=load.run)
    loading.start()
    try:
        activated = swap(busy.environment)
    finally:
        load.stop()
        loading.join()

    named = {answer["index"]["generation"] for _, answer in load.answers}
    pace = len(load.answers) / load.took_s
    print(f"{len(activated)} swaps in {load.took_s:.0f} s, {pace:.0f} queries/s; {len(named)} generations answered")
    assert len(activated) == SWAPS
    assert load.refusals == []
    assert {answer["state"] for _, answer in load.answers} == {"done"}
    assert named <= {first, *activated}
    assert len(named) > BUILDS / 2
    assert {answer["index"]["images"] for _, answer in load.answers} == {len(images)}
    assert [image for image, answer in load.answers if found(answer) != true[image]] == []
    assert "problem" not in busy.client.get("/readyz").json()["checks"]["index"]
