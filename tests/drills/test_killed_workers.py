"""kill -9 in the middle of the work, pictures that kill, a model that hangs: every upload is answered, once."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.drills import journal
from tests.drills.faults import sitecustomize as fault
from tests.drills.searching import LONG, InBackground, wait_until
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.engine.pictures import encoded
from tests.stack import Stack

SEARCH = "--queues search"
QUERIES, KILLS, SEED = (1000, 20, 1) if LONG else (150, 3, 2)  # that seed has each kind of kill
GOOD = 200 if LONG else 40
LIMIT_S = 30 if LONG else 5
ASKERS = 8
REST_S = 10 if LONG else 15  # the long drill has the machine to itself; the short one runs beside other tests
PACE_S = 1.0
PATIENCE_S = 120


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system with faults that pictures set off, small batches and a journal of its queries."""
    with Stack(
        tmp_path_factory.mktemp("doomed"),
        PYTHONPATH=str(Path(fault.__file__).parent),
        SIMSEARCH_ANSWER_LIMIT_S=str(LIMIT_S),
        SIMSEARCH_BATCH="8",
        SIMSEARCH_UPLOADS_PER_MINUTE="1000000",
        SIMSEARCH_API_KEYS="key",
    ) as running:
        journal.keep(running)
        yield running


def kill(stack: Stack, pids: list[int]) -> None:
    assert pids, stack.output()
    for pid in pids:
        with suppress(ProcessLookupError):  # it went with its parent
            os.kill(pid, signal.SIGKILL)


def children(stack: Stack) -> list[int]:
    parents = stack.pids(SEARCH)
    return [pid for pid in parents if _parent(pid) in parents]


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def kill_some(stack: Stack, whom: str) -> list[int]:
    """Kill one child, a worker alone, or a worker with its children; returns those that died, once dead."""
    everybody = stack.pids(SEARCH)
    worker = next(pid for pid in everybody if _parent(pid) not in everybody)
    those = [pid for pid in everybody if _parent(pid) == worker]
    dying = children(stack)[:1] if whom == "child" else [worker, *those]  # the kernel ends children with their parent
    kill(stack, [worker] if whom == "worker" else dying)
    wait_until(lambda: not set(dying) & set(stack.pids(SEARCH)), stack, PATIENCE_S)
    return dying


def kill_another(stack: Stack, chance: random.Random) -> dict[int, float]:
    """Wait until queries are taken on, and a moment longer; returns who was killed then, and when."""
    before = journal.count_runs(stack)
    wait_until(lambda: journal.count_runs(stack) > before, stack, PATIENCE_S)
    time.sleep(chance.uniform(0, 2))
    at = time.time()
    return dict.fromkeys(kill_some(stack, chance.choice(["child", "worker", "group"])), at)


def test_every_query_is_answered_while_processes_are_killed_again_and_again(doomed: Stack) -> None:
    uploads, chance = Uploads(doomed), random.Random(SEED)
    killed_at: dict[int, float] = {}
    began = len(journal.read(doomed))
    with InBackground(uploads.ask, ASKERS, PACE_S):
        for _ in range(KILLS):
            killed_at |= kill_another(doomed, chance)
        wait_until(lambda: uploads.statuses.total() >= QUERIES, doomed, PATIENCE_S)
    assert set(uploads.statuses) == {202}
    assert_all_are_answered(doomed, uploads.ids, PATIENCE_S)

    entries = journal.read(doomed)[began:]
    runs, rest_s = journal.runs(entries), journal.longest_rest_s(entries)
    tries = dict(Counter(len(its) for its in runs.values()))
    print(
        f"{KILLS} kills, {len(uploads.ids)} queries ran this often: {tries}; nothing moved for {rest_s:.1f} s at most"
    )
    # Each run but the last has its cause: its process was killed before the next began.
    causeless = [
        run for its in runs.values() for run, later in pairwise(its) if killed_at.get(run.process, later.at) >= later.at
    ]
    assert causeless == []
    assert rest_s < REST_S


def test_every_search_process_that_lives_is_reported(doomed: Stack) -> None:
    kill(doomed, children(doomed)[:1])
    deadline = time.monotonic() + 90
    while (body := doomed.client.get("/readyz").json()["checks"]["worker"]["count"]) != len(children(doomed)):
        assert time.monotonic() < deadline, f"{body} are reported:\n{doomed.output()}"
        time.sleep(0.5)


def among_good_ones(stack: Stack, size: tuple[int, int], good: int) -> tuple[str, Uploads]:
    """Upload a picture of that size between so many others; returns its id, and the others."""
    uploads, bad = Uploads(stack), encoded(Image.new("RGB", size, "teal"), "PNG")
    with ThreadPoolExecutor(ASKERS) as people:
        list(people.map(uploads.ask, range(good // 2)))
        accepted = people.submit(stack.ask, bad)
        list(people.map(uploads.ask, range(good - good // 2)))
    assert uploads.statuses == {202: good}
    return accepted.result().json()["id"], uploads


def runs_of(stack: Stack, id_: str) -> list[journal.Entry]:
    return journal.runs(journal.read(stack))[id_.replace("-", "")]


def test_a_picture_that_kills_its_worker_is_given_up_and_takes_no_other_with_it(doomed: Stack) -> None:
    poison, others = among_good_ones(doomed, fault.KILLS, GOOD)
    answer = doomed.answer(poison, PATIENCE_S)
    assert (answer["state"], answer["error"]["code"]) == ("failed", "gave_up")
    assert "stopped 3 times" in answer["error"]["message"]
    assert {doomed.answer(id_, PATIENCE_S)["state"] for id_ in others.ids} == {"done"}
    assert len({run.process for run in runs_of(doomed, poison)}) == len(runs_of(doomed, poison)) == 3
    tries = Counter(len(runs_of(doomed, id_)) for id_ in others.ids)
    print(f"{dict(tries)} good ones by how often they ran")
    assert set(tries) <= {1, 2}
    headers = {"Authorization": "Bearer key"}
    assert doomed.client.delete(f"/api/queries/{poison}", headers=headers).status_code == 204


def test_a_child_whose_model_hangs_is_replaced(doomed: Stack) -> None:
    before = children(doomed)
    bad, others = among_good_ones(doomed, fault.HANGS, GOOD // 2)
    wait_until(lambda: bool(runs_of(doomed, bad)), doomed, PATIENCE_S)
    [hung] = runs_of(doomed, bad)
    assert hung.process in before
    wait_until(lambda: hung.process not in doomed.pids(SEARCH), doomed, LIMIT_S + PATIENCE_S)
    wait_until(lambda: len(children(doomed)) == len(before), doomed, PATIENCE_S)
    replaced_s = time.time() - hung.at
    print(f"replaced {replaced_s:.1f} s after it had begun a run that may take {LIMIT_S} s")
    assert replaced_s < LIMIT_S + REST_S
    assert {doomed.answer(id_, PATIENCE_S)["state"] for id_ in [bad, *others.ids]} == {"done"}
    assert [run.process == hung.process for run in runs_of(doomed, bad)] == [True, False]
