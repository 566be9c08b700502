"""How many cores a pass takes when it is the only work there is."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from engine.threads import AGAIN, MOST_DECODING, TRIES, Alone, feeding
from tests import fresh

SCRIPT = """
import torch
from engine.threads import Alone

torch.set_num_threads(1)
alone, within = Alone(), set()
for _ in range(20):
    with alone():
        within.add(torch.get_num_threads())
    assert torch.get_num_threads() == 1
print(*sorted(within))
"""


@pytest.mark.parametrize("policy", ["", "active"])
def test_threads_that_spin_take_no_core_from_others(policy: str, tmp_path: Path) -> None:
    assert fresh.run(SCRIPT, tmp_path, OMP_WAIT_POLICY=policy) == "1\n"


def test_threads_that_sleep_are_tried(tmp_path: Path) -> None:
    tried = sorted({1, min(4, os.cpu_count() or 1)})
    assert fresh.run(SCRIPT, tmp_path, OMP_WAIT_POLICY="passive") == f"{' '.join(map(str, tried))}\n"


@pytest.mark.parametrize("slow", [1, 2])
def test_the_quicker_number_of_threads_is_used_and_the_other_one_tried_again(
    slow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone, used = Alone(), list[int]()
        for _ in range(2 * TRIES + 2 * AGAIN):
            with alone():
                used.append(torch.get_num_threads())
                time.sleep(0.003 if used[-1] == slow else 0.0)
    finally:
        torch.set_num_threads(before)
    assert alone.choices == [1, 2]
    assert Counter(used[: 2 * TRIES]) == {1: TRIES, 2: TRIES}
    assert Counter(used[2 * TRIES :]) == {3 - slow: 2 * AGAIN - 2, slow: 2}


def test_a_pass_that_broke_says_nothing() -> None:
    alone, before = Alone(), torch.get_num_threads()
    with pytest.raises(ValueError, match="broken"), alone():
        raise ValueError("broken")
    assert torch.get_num_threads() == before
    assert not any(alone._took_s.values())


@pytest.mark.parametrize("cores", [2, 64])
def test_a_gpu_is_fed_by_no_more_threads_than_decode_side_by_side(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert feeding("cpu") == cores
    assert feeding("cuda:0") == min(cores, MOST_DECODING)
