"""A system to measure: started as `make run` starts it, in a directory of its own, and stopped at the end."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from bench import processes

ROOT = Path(__file__).resolve().parent.parent
START_S, STOP_S = 600, 60
FOREIGN = {"SECRET_KEY", "ALLOWED_HOSTS", "SIMSEARCH_HTTPS", "REDIS_URL", "DATABASE_URL"}
UNLIMITED = str(10**9)  # everything comes from one address


class Stack:
    """The whole system; `port`, `pid` (the parent of all its processes)."""

    def __init__(self, directory: Path, photos: Path, **environment: str) -> None:
        self.directory, self.data_dir, self.port = directory, directory / "data", free_port()
        self._photos = photos
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        own = {"SIMSEARCH_DATA_DIR": str(self.data_dir), "SIMSEARCH_UPLOADS_PER_MINUTE": UNLIMITED}
        self._environment = kept | own | environment

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "simsearch.local.run", "--photos", str(self._photos), "--port", str(self.port)]
        with (self.directory / "run.log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_S)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while "Press Ctrl-C" not in (said := (self.directory / "run.log").read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The system did not start:\n{said}")
            time.sleep(0.2)

    def worker(self) -> dict[str, Any]:
        """What /readyz says of the search workers."""
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as told:
            worker: dict[str, Any] = json.load(told)["checks"]["worker"]
            return worker
        return {}

    @contextmanager
    def paused_search(self) -> Iterator[None]:
        """Hold all search workers still: uploads pile up."""
        held = [process for process in processes.tree(self.pid) if processes.kind(process) == "search worker"]
        for process in held:
            process.suspend()
        try:
            yield
        finally:
            for process in held:
                process.resume()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database itself: the API does not tell when a query was claimed."""
        with sqlite3.connect(f"file:{self.data_dir}/simsearch.sqlite3?mode=ro", uri=True, timeout=20) as database:
            return database.execute(sql).fetchall()

    def log_bytes(self) -> int:
        """How long the log of the search worker is, for `batches`."""
        return self._log.stat().st_size

    def batches(self, since_bytes: int) -> list[int]:
        """The sizes of the batches that were logged since then."""
        with self._log.open("rb") as log:
            log.seek(since_bytes)
            return [int(size) for size in re.findall(rb"batch of (\d+):", log.read())]

    @property
    def _log(self) -> Path:
        return self.data_dir / "logs" / "search-0.log"


def free_port() -> int:
    """Return a port of the loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
