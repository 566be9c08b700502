"""Prometheus' own checker, where it is installed (Debian: `apt install prometheus`)."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "docs" / "monitoring" / "grafana-dashboard.json"


def promtool(*arguments: str, text: str | None = None) -> str:
    """Return what it says; the test fails when it finds fault."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool on the PATH (Debian's package is `prometheus`)")
    finished = subprocess.run([found, *arguments], cwd=ROOT, input=text, capture_output=True, text=True)
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    return output
