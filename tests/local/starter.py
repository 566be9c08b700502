"""Start the real `make run` module in a process of its own, and look for what it leaves behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from simsearch.launch.supervisor import ROOT
from tests.environment import DATA_DIR
from tests.stack import OWN

Start = Callable[..., subprocess.CompletedProcess[str]]


def variables(data_dir: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a person's shell: nothing of the test run's own settings."""
    inherited = {k: v for k, v in os.environ.items() if k not in OWN and DATA_DIR not in v}
    return inherited | {"SIMSEARCH_DATA_DIR": str(data_dir)} | extra


def start(data_dir: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return python(data_dir, "-m", "simsearch.launch.run", *arguments, **extra)


def python(data_dir: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=variables(data_dir, **extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def one_clear_line(run: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of a refusal."""
    assert run.returncode == 1, run.stdout + run.stderr
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("simsearch: ")
    return lines[0]


def left_running(data_dir: Path) -> list[str]:
    """Return the command lines of processes that belong to this data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if command and os.fsencode(data_dir) in command + environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
