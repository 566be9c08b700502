"""`pin.py N command …`: run the command with one GPU visible, the Nth, before anything in it can touch CUDA.

Standard library only, and run as a script: it replaces itself by the command.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping

# `nvidia-smi -L` lists "GPU 0: NVIDIA H200 (UUID: GPU-…)", and beneath a divided one its slices:
# "  MIG 1g.18gb Device 0: (UUID: MIG-…)".
GPU = re.compile(r"^GPU (\d+):", re.MULTILINE)
SLICE = re.compile(r"\(UUID: (MIG-[^)]+)\)")


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """The GPUs to give a worker each, as values of `CUDA_VISIBLE_DEVICES`; none when one device was chosen by name."""
    if environ.get("SIMSEARCH_DEVICE", "auto") != "auto":
        return []
    if "CUDA_VISIBLE_DEVICES" in environ:
        chosen = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return [name for name in chosen if name and name != "-1"]
    return _listed(_nvidia_smi())


def _listed(listing: str) -> list[str]:
    return SLICE.findall(listing) or GPU.findall(listing)


def _nvidia_smi() -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def main(number: int, command: list[str]) -> None:
    gpus = visible_gpus(os.environ)
    if gpus:  # more workers than GPUs share them
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    os.execv(command[0], command)  # noqa: S606 (no shell is what we want)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
