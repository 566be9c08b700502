"""Nobody but the account of simsearch reads its data directory; its group, in which nginx is, only what nginx sends."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo import jpegs
from tests.sites import Site
from tests.stack import ROOT, Stack

SENT = {"pictures", "static"}


def too_open(data_dir: Path) -> dict[str, str]:
    """Whatever is readable for others than it should be, with its mode."""
    found = {}
    for path in (data_dir, *data_dir.rglob("*")):
        try:
            entry = path.lstat()
        except FileNotFoundError:  # the system runs
            continue
        allowed = stat.S_IRWXU
        if path == data_dir:
            allowed |= stat.S_IXGRP
        elif path.relative_to(data_dir).parts[0] in SENT:
            allowed |= stat.S_IRGRP | stat.S_IXGRP
        if stat.S_IMODE(entry.st_mode) & ~allowed and not stat.S_ISLNK(entry.st_mode):
            found[str(path)] = stat.filemode(entry.st_mode)
    return found


def hidden_from_the_group(data_dir: Path) -> list[str]:
    """Return what nginx should be able to send and cannot."""
    paths = [data_dir, *(path for name in SENT for path in [data_dir / name, *(data_dir / name).rglob("*")])]
    needs = {True: stat.S_IXGRP, False: stat.S_IRGRP}
    return [str(path) for path in paths if not path.stat().st_mode & needs[path.is_dir()]]


def test_a_running_system_keeps_its_files_to_itself(stack: Stack) -> None:
    for picture in jpegs(3):
        assert stack.answer(stack.ask(picture).json()["id"])["state"] == "done"
    assert list((stack.data_dir / "pictures" / "queries").rglob("*.jpg"))
    assert {"logs", "run", "uploads", "index", *SENT} <= {path.name for path in stack.data_dir.iterdir()}
    assert too_open(stack.data_dir) == {}
    assert hidden_from_the_group(stack.data_dir) == []


@pytest.fixture
def careless(tmp_path: Path) -> Site:
    """Return a data directory of an earlier version, which left everything to the umask of its account."""
    site = Site(tmp_path / "data")
    for name in ("pictures", "index", "logs"):
        (site.data_dir / name).mkdir()
    (site.data_dir / "logs" / "web.log").write_text("a line")
    for path in (site.data_dir, *site.data_dir.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return site


def test_a_start_closes_what_an_earlier_version_left_open(careless: Site) -> None:
    command = [sys.executable, "-m", "simsearch.launch.prepare"]
    environment = os.environ | careless.environment
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, umask=0o022)
    entrances = [careless.data_dir, *careless.data_dir.iterdir()]
    assert {path.name for path in entrances} >= {"data", "simsearch.sqlite3", "pictures", "uploads", "logs", "static"}
    assert [path for path in too_open(careless.data_dir) if Path(path) in entrances] == []
    assert hidden_from_the_group(careless.data_dir) == []


def test_a_command_that_is_typed_keeps_its_files_to_itself(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")
    with site.start("make_demo", umask=0o022) as process:
        assert process.wait(120) == 0
    assert list((site.data_dir / "pictures").rglob("*.jpg"))
    site.data_dir.chmod(0o710)
    assert too_open(site.data_dir) == {}
