"""Whatever the description of the API allows is answered as it says, and whatever it forbids is refused."""

import os
import subprocess
import sys
from pathlib import Path

from tests.stack import API_KEY, ROOT, Stack

EXAMPLES = os.environ.get("SIMSEARCH_EXAMPLES", "50")
LIMIT_S = 110


def test_the_api_keeps_to_its_description(changed_stack: Stack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{changed_stack.url}/api/openapi.json"]
    command += ["--checks=all", "--max-examples", EXAMPLES, "--generation-deterministic", "--no-color"]
    command += ["--header", f"Authorization: Bearer {API_KEY}"]
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.system.schemathesis_hooks",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | hooks,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    assert run.returncode == 0, run.stdout
    assert "No issues found" in run.stdout
