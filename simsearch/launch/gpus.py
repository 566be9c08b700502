"""Which GPUs there are for the search workers."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

# `nvidia-smi -L` lists "GPU 0: NVIDIA H200 (UUID: GPU-…)", and beneath a divided one its slices:
# "  MIG 1g.18gb Device 0: (UUID: MIG-…)".
GPU = re.compile(r"^GPU (\d+):", re.MULTILINE)
SLICE = re.compile(r"\(UUID: (MIG-[^)]+)\)")


def visible(environ: Mapping[str, str]) -> list[str]:
    """The GPUs to give a child each, as values of `CUDA_VISIBLE_DEVICES`; none when one device was chosen by name."""
    if environ.get("SIMSEARCH_DEVICE", "auto") != "auto":
        return []
    if "CUDA_VISIBLE_DEVICES" in environ:
        chosen = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return [name for name in chosen if name and name != "-1"]
    return _listed(_nvidia_smi())


def of_child(number: int, found: Sequence[str]) -> str:
    """The GPU of a worker's child; more children than GPUs share them."""
    return found[number % len(found)]


def _listed(listing: str) -> list[str]:
    return SLICE.findall(listing) or GPU.findall(listing)


def _nvidia_smi() -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
