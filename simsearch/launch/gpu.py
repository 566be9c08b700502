"""GPU selection: how many children the search worker has, and which GPU each of them sees."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from django.core.exceptions import ImproperlyConfigured

# `nvidia-smi -L` lists "GPU 0: NVIDIA H200 (UUID: GPU-…)", and below a divided one its slices:
# "  MIG 1g.18gb Device 0: (UUID: MIG-…)".
GPU = re.compile(r"^GPU (\d+):", re.MULTILINE)
SLICE = re.compile(r"\(UUID: (MIG-[^)]+)\)")
MAX_CHILDREN = 16


def search_children(environ: Mapping[str, str]) -> int:
    """Return how many children the search worker has: as chosen, else one per GPU, else one per core.

    Raises ImproperlyConfigured when the chosen number is none.
    """
    if chosen := environ.get("SIMSEARCH_SEARCH_CHILDREN"):
        if not (chosen.isdecimal() and int(chosen)):
            raise ImproperlyConfigured(f"SIMSEARCH_SEARCH_CHILDREN={chosen} is not a number of processes.")
        return int(chosen)
    if found := visible(environ):
        return len(found)
    if is_named(environ):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_CHILDREN)


def is_named(environ: Mapping[str, str]) -> bool:
    """Return whether a GPU is chosen by name: SIMSEARCH_DEVICE=cuda:1."""
    return environ.get("SIMSEARCH_DEVICE", "").startswith("cuda")


def visible(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs to give a child each, as in CUDA_VISIBLE_DEVICES; none where a device is chosen by name."""
    if environ.get("SIMSEARCH_DEVICE", "auto") != "auto":
        return []
    if "CUDA_VISIBLE_DEVICES" in environ:
        chosen = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return [name for name in chosen if name and name != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed(found.stdout)


def of_child(number: int, found: Sequence[str]) -> str:
    """Return the GPU of a worker's child; more children than GPUs share them."""
    return found[number % len(found)]


def listed(listing: str) -> list[str]:
    """Return the GPUs in the output of `nvidia-smi -L`, or their slices where they are divided."""
    return SLICE.findall(listing) or GPU.findall(listing)
