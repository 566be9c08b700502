"""build_index can be killed at any moment and run again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.environment import DATA_DIR
from tests.stack import ROOT, draw_gallery

KILLS = 6


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An installation of its own with an imported gallery, without Redis and workers."""
    data = tmp_path / "data"
    data.mkdir()
    redis = f"unix://{DATA_DIR}/redis.sock"
    environment = os.environ | {"SIMSEARCH_DATA_DIR": str(data), "REDIS_URL": redis, "SIMSEARCH_BATCH": "4"}
    for command in (["migrate"], ["import_images", str(draw_gallery(tmp_path / "photos", per_kind=8))]):
        manage(environment, *command).check_returncode()
    return environment


def manage(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_a_killed_build_is_taken_up_again(environment: dict[str, str]) -> None:
    chance = random.Random(7)
    for _ in range(KILLS):
        build = subprocess.Popen([sys.executable, "manage.py", "build_index"], cwd=ROOT, env=environment)
        time.sleep(chance.uniform(2, 8))
        build.send_signal(signal.SIGKILL)
        build.wait()
    done = manage(environment, "build_index")
    assert done.returncode == 0, done.stderr
    assert "Active: generation" in done.stdout
    assert manage(environment, "evaluate").returncode == 0
    index = Path(environment["SIMSEARCH_DATA_DIR"], "index")
    assert all(path.name.isdecimal() for path in index.iterdir()), "a killed build's leftovers are still there"
