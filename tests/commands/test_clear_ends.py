"""What the operator can mend ends every command with one line and an exit code, without a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fresh
from tests.oddities import heeding_rights

COMMANDS = [["build_index"], ["switch_model", "--prune"], ["make_demo"], ["prune", "--dry-run"], ["backup", "made"]]
DEMO = sorted(map(str, (fresh.ROOT / "gallery" / "demo").rglob("*.webp")))[:3]


@pytest.fixture
def demo(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a system with some pictures, without an index."""
    environment = os.environ | fresh.migrated(tmp_path / "data")
    command = [sys.executable, "manage.py", "import_images", *DEMO]
    subprocess.run(command, cwd=fresh.ROOT, env=environment, check=True, capture_output=True)
    return environment


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_without_tables(tmp_path: Path, command: list[str]) -> None:
    command = [str(tmp_path / "made") if word == "made" else word for word in command]
    finished = fresh.python("manage.py", *command, data_dir=tmp_path / "data")
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].rstrip(".").endswith("; run manage.py migrate")


def test_a_folder_of_pictures_that_may_not_be_written(tmp_path: Path, demo: dict[str, str]) -> None:
    pictures = tmp_path / "data" / "pictures"
    folders = [pictures, *(folder for folder in pictures.rglob("*") if folder.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    command = [*heeding_rights(), sys.executable, "manage.py", "make_demo"]
    ended = subprocess.run(command, cwd=fresh.ROOT, env=demo, capture_output=True, text=True)
    for folder in folders:
        folder.chmod(0o700)
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert "Permission denied" in line
    assert str(pictures) in line
    assert "Traceback" not in ended.stderr


def test_a_reader_that_closes_the_pipe(demo: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "prune", "--dry-run"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=fresh.ROOT, env=demo, stdout=pipe, stderr=pipe) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_an_interrupt_is_no_failure(demo: dict[str, str]) -> None:
    script = "import time; print('here', flush=True); time.sleep(60)"
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=fresh.ROOT, env=demo, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "Stopped.\n"
    assert process.returncode == 130
