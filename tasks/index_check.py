"""The test of an index before it is used, in a process of its own."""

import subprocess
import sys
from pathlib import Path

from engine.errors import BadIndex

CHECK_S = 600


def check(directory: Path, network: str) -> None:
    """Open and search it elsewhere: a file that crashes Annoy must not take this process along. Raises BadIndex."""
    command = [sys.executable, "-m", "engine.index.check", str(directory), network]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BadIndex(f"The new index does not pass its test ({reason[0]}).")
