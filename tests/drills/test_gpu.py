"""The whole system where there is a GPU: one search process per GPU, pinned before anything can touch CUDA."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.demo import jpegs
from tests.drills.test_killed_workers import children, kill
from tests.stack import Stack
from tests.system.test_way_of_a_query import tasks_seen_by_flower

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def test_the_search_worker_has_one_process_on_its_gpu(stack: Stack) -> None:
    worker = stack.client.get("/readyz").json()["checks"]["worker"]
    assert (worker["count"], worker["device"]) == (1, ["cuda:0"])
    [child] = children(stack)
    pinned = [value for value in environment(child) if value.startswith("CUDA_VISIBLE_DEVICES=")]
    assert pinned == ["CUDA_VISIBLE_DEVICES=0"]


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_many_are_answered_on_the_gpu_also_by_the_process_that_replaces_a_killed_one(stack: Stack) -> None:
    pictures = jpegs(128)
    with ThreadPoolExecutor(16) as threads:
        accepted = list(threads.map(stack.ask, pictures[:64]))
        kill(stack, children(stack))
        accepted += threads.map(stack.ask, pictures[64:])
    answers = [stack.answer(response.json()["id"]) for response in accepted]
    assert {answer["state"] for answer in answers} == {"done"}
    assert max(size for task in tasks_seen_by_flower(stack) for size in task["batches"]) > 1
