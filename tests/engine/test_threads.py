"""How many cores a pass takes when it is the only work there is."""

import os
from pathlib import Path

import pytest

from tests import fresh

SCRIPT = """
import torch
from engine import threads

torch.set_num_threads(1)
with threads.alone():
    within = torch.get_num_threads()
print(within, torch.get_num_threads())
"""


@pytest.mark.parametrize("policy", ["", "active"])
def test_threads_that_spin_take_no_core_from_others(policy: str, tmp_path: Path) -> None:
    assert fresh.run(SCRIPT, tmp_path, OMP_WAIT_POLICY=policy) == "1 1\n"


def test_threads_that_sleep_take_the_cores_for_a_while(tmp_path: Path) -> None:
    cores = min(4, os.cpu_count() or 1)
    assert fresh.run(SCRIPT, tmp_path, OMP_WAIT_POLICY="passive") == f"{cores} 1\n"
