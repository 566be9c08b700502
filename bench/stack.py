"""A system to measure: started as `make run` starts it, in a directory of its own, and stopped at the end."""

import json
import math
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
FOREIGN = {
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "SIMSEARCH_HTTPS",
    "REDIS_URL",
    "DATABASE_URL",
    "SIMSEARCH_METRICS_TOKEN",
    "SIMSEARCH_METRICS_TOKEN_FILE",
}
UNLIMITED = str(10**9)  # everything comes from one address
AT_REST, REST_S = 0.1, 2.0  # of a core, for so long; heartbeats, beat and the sweeps take 0.03
COUNTED_S = 1.2  # processes tell once a second what they counted


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
            self._wait_at_rest()
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

    def _wait_at_rest(self) -> None:
        """The gallery's worker still loads its network when the site is ready: that is no part of a search."""
        deadline, spent_s = time.monotonic() + START_S, -math.inf
        while (now_s := sum(processes.cpu_s(self.pid).values())) - spent_s > AT_REST * REST_S:
            if time.monotonic() > deadline:
                raise SystemExit("The system does not come to rest.")
            spent_s = now_s
            time.sleep(REST_S)

    def worker(self) -> dict[str, Any]:
        """What /readyz says of the search workers."""
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as told:
            worker: dict[str, Any] = json.load(told)["checks"]["worker"]
            return worker
        return {}

    def counted(self) -> dict[str, float]:
        """What /metrics says by now: each sample as it is written there, and its value."""
        time.sleep(COUNTED_S)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as told:
            lines = told.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

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

    def log_bytes(self) -> dict[Path, int]:
        """How long the log of each search worker is, for `batches`."""
        return {log: log.stat().st_size for log in (self.data_dir / "logs").glob("search-*.log")}

    def batches(self, since_bytes: dict[Path, int]) -> list[int]:
        """The sizes of the batches that were logged since then."""
        sizes: list[int] = []
        for path, seen in since_bytes.items():
            with path.open("rb") as log:
                log.seek(seen)
                sizes += map(int, re.findall(rb"batch of (\d+):", log.read()))
        return sizes


def free_port() -> int:
    """Return a port of the loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
