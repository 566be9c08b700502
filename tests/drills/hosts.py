"""Hosts for drills: a name, process ids, a data directory and an environment of their own, on this machine.

They share PostgreSQL, Redis and an S3 server, and nothing else.
"""

import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
import pytest

from tests import demo
from tests.deployment.outside import Redis
from tests.postgres import Cluster, unavailable
from tests.s3 import S3Server
from tests.stack import STOP_S, Stack

# A process of its own kind of number 1: all others of the host end with it.
UNSHARE = ["unshare", "--uts", "--pid", "--fork", "--mount-proc"]
KEY = secrets.token_hex(16)


def must_be_possible() -> None:
    """Skip where this machine cannot have hosts of its own."""
    if reason := unavailable():
        pytest.skip(reason)
    try:
        subprocess.run([*UNSHARE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this account may not make process namespaces (unshare, as root)")


class Host(Stack):
    """One host, as `make run` starts it. The first one has the photos, the others find them."""

    def __init__(self, name: str, directory: Path, photos: Path | None, shared: dict[str, str]) -> None:
        directory.mkdir()
        super().__init__(directory, photos or directory, {"DATABASE_URL": shared["DATABASE_URL"]}, **shared)
        self.name, self._has_photos = name, photos is not None
        self.client.timeout = httpx.Timeout(120)  # two systems and an S3 server of one process share two cores

    def command(self) -> list[str]:
        photos = ["--photos", str(self.photos)] if self._has_photos else []
        inside = [sys.executable, "-m", "simsearch.launch.run", *photos, "--host", "127.0.0.1"]
        script = 'hostname "$0" && exec "$@"'
        return [*UNSHARE, "sh", "-c", script, self.name, *inside, "--port", str(self.port)]

    @property
    def _first(self) -> psutil.Process:
        """The process that has number 1 in there."""
        [first] = psutil.Process(self.process.pid).children()
        return first

    def stop(self) -> None:
        if self.process.poll() is None:
            with suppress(ValueError):  # it ended at this moment
                self._first.send_signal(signal.SIGINT)
            self.process.wait(STOP_S)

    def kill(self) -> None:
        """Kill -9 all of its processes at once, as when its power is cut."""
        self._first.send_signal(signal.SIGKILL)
        self.process.wait(STOP_S)

    def claimed(self, *ids: str) -> int:
        """Return how many of these queries were last claimed here; without ids, of all."""
        rows = self.rows("SELECT id, claimed_by FROM gallery_query")
        return sum(by.startswith(f"{self.name}/") for id_, by in rows if not ids or str(id_) in ids)


class Hosts:
    """`a` and `b`, and what they share."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory, self._environment = directory, environment

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            cluster = stack.enter_context(Cluster())
            (self.directory / "redis").mkdir()
            redis = stack.enter_context(Redis(self.directory / "redis"))
            self.s3 = stack.enter_context(S3Server())
            self.shared = {
                "DATABASE_URL": cluster.url,
                "REDIS_URL": redis.url,
                "SECRET_KEY": secrets.token_urlsafe(50),
                "SIMSEARCH_API_KEYS": KEY,
                **self.s3.environment,
                **self._environment,
            }
            photos = demo.write_gallery(self.directory / "photos")
            self.a = stack.enter_context(Host("host-a", self.directory / "a", photos, self.shared))
            self.b = stack.enter_context(Host("host-b", self.directory / "b", None, self.shared))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def wait_for(self, host: Host, what: str, seconds: float) -> None:
        """Wait until the host's log of searches has this."""
        deadline = time.monotonic() + seconds
        while what not in (host.data_dir / "logs" / "search.log").read_text():
            assert time.monotonic() < deadline, host.output()
            time.sleep(0.1)
