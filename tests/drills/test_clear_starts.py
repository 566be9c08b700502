"""A worker that cannot work says why in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import DATA_DIR
from tests.stack import ROOT


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one with the tables in it, as every worker finds it."""
    directory = tmp_path_factory.mktemp("data")
    own = os.environ | {"SIMSEARCH_DATA_DIR": str(directory)}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=own, check=True)
    return directory


def start_worker(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return a search worker as supervisor starts it; it is expected to end by itself."""
    own = os.environ | {"SIMSEARCH_DATA_DIR": str(data_dir), "REDIS_URL": f"unix://{DATA_DIR}/redis.sock"} | environment
    command = [sys.executable, "-m", "celery", "-A", "simsearch", "worker", "-Q", "search", "--concurrency", "1"]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SIMSEARCH_MODEL", "resnet", "resnet"),
        ("SIMSEARCH_WEIGHTS", "/nowhere/weights.safetensors", "/nowhere/weights.safetensors"),
        ("SIMSEARCH_DEVICE", "cuda:99", "cuda:99"),
    ],
)
def test_a_worker_that_cannot_load_its_model_ends_with_one_line(
    data_dir: Path, variable: str, value: str, expected: str
) -> None:
    ended = start_worker(data_dir, **{variable: value})
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if "cannot start" in line]
    assert lines
    assert expected in lines[0]
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
def test_without_a_secret_or_hosts_nothing_starts(tmp_path: Path, missing: str) -> None:
    own = {k: v for k, v in os.environ.items() if k != missing} | {"SIMSEARCH_DATA_DIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env=own, capture_output=True, text=True)
    assert ended.returncode != 0
    assert missing in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
