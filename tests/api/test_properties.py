"""Whatever the description of the API allows is answered as it says, and whatever it forbids is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack

KEY = "key-of-the-fuzzer"
EXAMPLES = os.environ.get("SIMSEARCH_EXAMPLES", "50")
LIMIT_S = 110


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Stack]:
    """Provide one that a visitor may ask as often as he likes."""
    with Stack(tmp_path, SIMSEARCH_API_KEYS=KEY, SIMSEARCH_UPLOADS_PER_MINUTE="1000000") as running:
        yield running


def test_the_api_keeps_to_its_description(system: Stack) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{system.url}/api/openapi.json"]
    command += ["--checks=all", "--max-examples", EXAMPLES, "--generation-deterministic", "--no-color"]
    command += ["--header", f"Authorization: Bearer {KEY}"]
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    run = subprocess.run(
        command,
        cwd=system.directory,
        env=os.environ | hooks,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    assert run.returncode == 0, run.stdout
    assert "No issues found" in run.stdout
