"""What the operator can mend is one line, whatever the command: no tables, no rights, no disk, a closed pipe, Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fresh
from tests.environment import own_database
from tests.oddities import heeding_rights

COMMANDS = [
    *(["build_index", *option] for option in ([], ["--if-stale"], ["--dry-run"], ["--rollback"], ["--distributed"])),
    *([name] for name in ("evaluate", "calibrate", "switch_model", "make_demo")),
    *(["switch_model", option] for option in ("efficientnet_lite0", "--prune")),
    *(["prune", option] for option in ("--dry-run", "--apply")),
    *([name, "made"] for name in ("export", "backup")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_without_tables_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(fresh.ROOT))
    finished = fresh.python("manage.py", *command, data_dir=tmp_path)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].rstrip(".").endswith("run manage.py migrate")
    (fresh.ROOT / "made").exists() and (fresh.ROOT / "made").rmdir()
