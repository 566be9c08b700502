"""A process of its own that has loaded nothing yet, with a data directory and a database of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.environment import own_database

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, data_dir: Path, **environment: str) -> str:
    """Return what the script prints."""
    finished = python("-c", script, data_dir=data_dir, **environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def python(*arguments: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"SIMSEARCH_DATA_DIR": str(data_dir)} | own_database() | environment,
        capture_output=True,
        text=True,
    )


# The start of a script: the application that gunicorn serves, and a visitor who talks to it.
SITE = """
import time
import httpx
from simsearch.wsgi import application
from django.core.management import call_command
from tests.engine.pictures import encoded, scene

call_command("migrate", verbosity=0)
visitor = httpx.Client(transport=httpx.WSGITransport(application), base_url="http://testserver")
picture = {"image": ("picture.jpg", encoded(scene(), "JPEG"))}
"""
