"""Self-test of a generation, in a process of its own: `python -m engine.index.check DIRECTORY MODEL_ID`.

Annoy does not check its file: a damaged one must crash this process, not a worker. Exit code 0, or 1 with
one line on standard error.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from engine.errors import BadIndex
from engine.index.annoy_index import Index
from engine.index.manifest import refuse

CHECK_S = 600
PICTURES = 50  # that the self-test searches for
NEIGHBOURS = 10
SAME = 0.9999  # the cosine of a picture with itself or its copy; nothing else in a gallery comes near


def self_test(directory: Path, model_id: str) -> None:
    """Open the generation and search it for PICTURES of its own pictures.

    Each must come first (or a copy of it), with as many neighbours as there are, up to ten. Raises BadIndex.
    """
    index = Index.open(directory, model_id)
    count = len(index.ids)
    rows = np.unique(np.linspace(0, count - 1, min(PICTURES, count)).astype(np.intp))
    expected = min(NEIGHBOURS, count)
    for row, hits in zip(rows, index.search(index.vectors_at(rows), NEIGHBOURS), strict=True):
        if len(hits.ids) != expected:
            refuse(directory, f"picture {index.ids[row]} has {len(hits.ids)} neighbours instead of {expected}")
        if hits.similarities[0] < SAME:
            refuse(directory, f"picture {index.ids[row]} does not find itself")


def check_apart(directory: Path, model_id: str) -> None:
    """Run the self-test in a process of its own. Raises BadIndex."""
    command = [sys.executable, "-m", "engine.index.check", str(directory), model_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BadIndex(f"The new index does not pass its test ({reason[0]}).")


def main(directory: str, model_id: str) -> int:
    """Run the check from the command line."""
    try:
        self_test(Path(directory), model_id)
    except BadIndex as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
