"""A process of its own that has loaded nothing yet, with a data directory and a database of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.environment import CLUSTER, made_once, own_database

ROOT = Path(__file__).resolve().parent.parent


def _migrate(data_dir: Path) -> None:
    """Make a SQLite database with all migrations, without rows."""
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(command, cwd=ROOT, env=os.environ | sqlite(data_dir), check=True)


def sqlite(data_dir: Path) -> dict[str, str]:
    """Return the variables that have a process use the SQLite database of a data directory."""
    return {"SIMSEARCH_DATA_DIR": str(data_dir), "DATABASE_URL": f"sqlite:///{data_dir}/simsearch.sqlite3"}


def migrate(data_dir: Path) -> None:
    """Put a SQLite database with all migrations into a data directory: a hundredth of the time of migrating one."""
    data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(made_once("migrated", _migrate) / "simsearch.sqlite3", data_dir)


def migrated(data_dir: Path) -> dict[str, str]:
    """Return the variables of a process that has a migrated database, of the kind that the tests run on."""
    if not CLUSTER:
        migrate(data_dir)
        return sqlite(data_dir)
    environment = {"SIMSEARCH_DATA_DIR": str(data_dir), **own_database()}
    command = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    return environment


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
