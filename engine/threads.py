"""How many cores a forward pass on the CPU takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Two cores embed a picture in 0.7 to 0.85 of the time of one (AlexNet, fp32); no machine with more was measured.
MOST_ALONE = 4


@contextmanager
def alone() -> Iterator[None]:
    """Calculate in several threads, in a process whose pass is the only work that there is.

    Nothing changes where threads spin while they wait for each other, as OpenMP's do by default: those take many times
    as long once something else wants a core. OMP_WAIT_POLICY=passive lets them sleep; it is read when torch is loaded.
    """
    usual = torch.get_num_threads()
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":
        torch.set_num_threads(max(usual, min(MOST_ALONE, os.cpu_count() or 1)))
    try:
        yield
    finally:
        torch.set_num_threads(usual)
