"""A system of the tests' own without its processes: a data directory and a database, used by fresh processes."""

import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests import fresh

# What every script of a fresh process starts with.
HEAD = """
import io, json, os, sys
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "simsearch.settings"
django.setup()
"""


# Tables that are not in a backup, and SQLite's own.
LEFT_OUT = {"django_migrations", "django_session", "gallery_indexgeneration", "sqlite_sequence"}


class Site:
    """Migrated and empty at first, or a copy of the one that it is `like`.

    `database_url`: SQLite in the data directory if not given.
    """

    def __init__(self, data_dir: Path, database_url: str = "", like: "Site | None" = None) -> None:
        self.data_dir = data_dir
        self.environment = fresh.sqlite(data_dir)
        if database_url:
            self.environment["DATABASE_URL"] = database_url
        if like:
            shutil.copytree(like.data_dir, data_dir)
        elif database_url:
            data_dir.mkdir(parents=True)
            self.output("migrate", "-v0")
        else:
            fresh.migrate(data_dir)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a manage.py command in a process of its own."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.Popen(command, cwd=fresh.ROOT, env=os.environ | self.environment, **options)

    def manage(self, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run a manage.py command in a process of its own."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with self.start(*arguments, **pipes) as process:
            out, err = process.communicate(stdin)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def output(self, *arguments: str) -> str:
        """Return what a command that succeeds says."""
        finished = self.manage(*arguments)
        assert finished.returncode == 0, finished.stderr.decode()
        return finished.stdout.decode()

    def run(self, script: str) -> Any:
        """Return what the last line that the script prints says as JSON."""
        output = fresh.run(HEAD + script, self.data_dir, **self.environment)
        return json.loads(output.splitlines()[-1]) if output else None

    def rows(self) -> list[dict[str, Any]]:
        """Return every row that a backup is of, as Django's own command sees it."""
        left_out = ["--exclude", "sessions", "--exclude", "gallery.indexgeneration"]
        rows = json.loads(self.output("dumpdata", "--all", *left_out))
        return sorted(rows, key=lambda row: (row["model"], str(row["pk"])))

    def tables(self) -> dict[str, list[str]]:
        """Return every row of its SQLite database that a backup is of, past all our code and without a process."""
        with closing(sqlite3.connect(self.data_dir / "simsearch.sqlite3")) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return {name: sorted(map(repr, database.execute(f"SELECT * FROM {name}"))) for name in names - LEFT_OUT}

    def count(self, table: str) -> int:
        """Return the number of rows of a table of its SQLite database."""
        with closing(sqlite3.connect(self.data_dir / "simsearch.sqlite3")) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def count_files(self) -> int:
        """Return how many picture files there are while somebody writes them."""
        return sum(1 for _ in (self.data_dir / "pictures").rglob("*.jpg"))

    def files(self) -> dict[str, bytes]:
        """Return every picture file, by its path."""
        folders = (self.data_dir / "pictures", self.data_dir / "uploads")
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.data_dir)): path.read_bytes() for path in paths}


class Unchanged(Site):
    """A system that no test changes: its rows and files are read once."""

    @functools.cache  # noqa: B019 (there is one for a test process)
    def rows(self) -> list[dict[str, Any]]:
        return super().rows()

    @functools.cache  # noqa: B019
    def files(self) -> dict[str, bytes]:
        return super().files()
