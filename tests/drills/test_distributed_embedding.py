"""`build_index --distributed`: the workers of the gallery queue embed, side by side."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo import write_gallery
from tests.drills.searching import wait_until
from tests.stack import ROOT, Stack

PER_KIND = 20
PATIENCE_S = 60


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    """Provide a system of its own, whose gallery may grow."""
    with Stack(tmp_path / "own") as running:
        yield running


@pytest.fixture
def second_log(own: Stack) -> Iterator[Path]:
    """Provide the log of one more worker of the gallery queue, as on another host."""
    command = [sys.executable, "-m", "celery", "-A", "simsearch", "worker", "--queues", "gallery", "--concurrency", "1"]
    path = own.directory / "second.log"
    with path.open("wb") as log:
        worker = subprocess.Popen(
            [*command, "--hostname", "second@%h", "--loglevel", "INFO"],
            cwd=ROOT,
            env=own.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_until(lambda: b" ready." in path.read_bytes(), own, PATIENCE_S)
        yield path
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE_S)


def embedded(log: str) -> int:
    """Return how many pictures a gallery worker says that it has embedded."""
    return sum(map(int, re.findall(r"embedded (\d+) gallery pictures", log)))


def test_workers_embed_side_by_side(own: Stack, second_log: Path, tmp_path: Path) -> None:
    gallery = own.pids("--queues gallery")
    for pid in gallery:
        os.kill(pid, signal.SIGSTOP)
    own.manage("import_images", str(write_gallery(tmp_path / "more", PER_KIND))).check_returncode()
    [(pictures,)] = own.rows("SELECT count(*) FROM gallery_image")
    for pid in gallery:
        os.kill(pid, signal.SIGCONT)
    built = own.manage("build_index", "--distributed")
    assert built.returncode == 0, built.stderr
    assert f"with {pictures} pictures" in built.stdout
    assert own.rows("SELECT count(*) FROM gallery_embedding") == [(pictures,)]
    assert embedded(second_log.read_text()) > 0
