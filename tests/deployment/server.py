"""A server as docs/operations.md sets it up: PostgreSQL, Redis and nginx, an environment file, one parent process."""

import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from simsearch.launch.preflight import BACKLOG
from simsearch.launch.supervisor import BIN, ROOT
from tests import demo
from tests.deployment.outside import Nginx, Redis
from tests.local.starter import left_running
from tests.postgres import Cluster
from tests.stack import Stack

# Small, so that a test can come to its end; every test that uploads is another visitor.
UPLOADS_PER_MINUTE = 30
FILLED_S = 120
# A restart of everything, on a machine that is busy with the rest of the tests.
PATIENCE_S = 240
READY = "Serving on"
# What systemd does with docs/simsearch.socket and docs/simsearch.service.
SYSTEMD = """
import os, sys
os.dup2({socket}, 3)
os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}}
os.execv(sys.executable, [sys.executable, "-m", "simsearch.launch.serve"])
"""


class Server(Stack):
    """`client` and `visitor` go through nginx as if a proxy on this host had ended https; `url` is nginx's address."""

    def __init__(self, directory: Path, **environment: str) -> None:
        super().__init__(directory, demo.write_gallery(directory / "photos"))
        self.web_url = self.url
        self._chosen = environment
        self.flower_port = lasting_port()
        self._number = 0
        del self.environment["FLOWER_UNAUTHENTICATED_API"]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._hold_the_socket(stack)
            self.postgres = stack.enter_context(Cluster())
            self.redis = stack.enter_context(Redis(self._folder("redis")))
            self._write_environment_file()
            self.nginx = Nginx(self._folder("nginx"), self.environment)
            self.nginx.render()
            stack.enter_context(self.nginx)
            self.url = f"http://127.0.0.1:{self.nginx.port}"
            self._visitors = stack
            self.client = self.visitor()
            super().__enter__()
            stack.callback(super().__exit__, None, None, None)
            self._fill()
            self._stack = self._visitors = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        left = left_running(self.directory)
        assert left == [], left

    def _hold_the_socket(self, stack: ExitStack) -> None:
        """As systemd does with docs/simsearch.socket."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=BACKLOG)
        self.pass_fds = [stack.enter_context(listener).fileno()]

    def command(self) -> list[str]:
        return [sys.executable, "-c", SYSTEMD.format(socket=self.pass_fds[0])]

    def restart(self) -> None:
        """As `systemctl restart simsearch`: returns when systemd would know that it is ready."""
        starts = self._said().count(READY)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0, self.output()
        self.start()
        while self._said().count(READY) == starts:
            assert self.process.poll() is None, self.output()
            time.sleep(0.1)

    def _said(self) -> str:
        return (self.directory / "run.log").read_text()

    def supervisorctl(self, *arguments: str) -> str:
        """Run a command as an operator types it."""
        control = f"unix://{self.data_dir}/run/supervisor.sock"
        command = [str(BIN / "supervisorctl"), "-s", control, *arguments]
        return subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_S
        ).stdout

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _write_environment_file(self) -> None:
        values = {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": "127.0.0.1,search.example.org",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "SIMSEARCH_ACCEL_PREFIX": "/_pictures/",
            "SIMSEARCH_PORT": str(self.port),
            "SIMSEARCH_FLOWER_PORT": str(self.flower_port),
            "SIMSEARCH_SEARCH_CHILDREN": "2",
            "SIMSEARCH_UPLOADS_PER_MINUTE": str(UPLOADS_PER_MINUTE),
            "SIMSEARCH_DEVICE": "cpu",
            **self._chosen,
        }
        self.data_dir.mkdir()
        path = self.data_dir / "simsearch.env"
        path.touch(0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def _fill(self) -> None:
        """Import the gallery while it serves, and wait until all of it is found."""
        done = self.manage("import_images", str(self.photos))
        assert done.returncode == 0, done.stderr
        picture = next(self.photos.rglob("*.jpg")).read_bytes()
        deadline = time.monotonic() + FILLED_S
        while len(self.answer(self.ask(picture).json()["id"])["matches"]) < 10:
            assert time.monotonic() < deadline, self.output()
            time.sleep(2.1)  # one visitor, who must not come too often

    # --- Visitors -------------------------------------------------------------------------------------------

    def visitor(self, address: str = "", *, from_address: str = "127.0.0.1", https: bool = True) -> httpx.Client:
        """Somebody of this address, by default of one that no client had; seen by nginx as `from_address`."""
        self._number += 1
        headers = {"X-Forwarded-For": address or f"198.51.{100 + self._number // 250}.{1 + self._number % 250}"}
        if https:
            headers["X-Forwarded-Proto"] = "https"
        transport = httpx.HTTPTransport(local_address=from_address)
        client = httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=PATIENCE_S)
        return self._visitors.enter_context(client)

    def signed_in(self, *, is_staff: bool) -> httpx.Client:
        """Return a visitor with an account; the session's cookie is for https alone, so it is sent by hand."""
        script = (
            "from django.contrib.auth.models import User; from django.test import Client; visitor = Client();"
            f"account = User.objects.create_user({secrets.token_hex(8)!r}, is_staff={is_staff});"
            "visitor.force_login(account); print(visitor.cookies['sessionid'].value)"
        )
        made = self.manage("shell", "--verbosity", "0", "-c", script)
        assert made.returncode == 0, made.stderr
        visitor = self.visitor()
        visitor.headers["Cookie"] = f"sessionid={made.stdout.strip()}"
        return visitor


def lasting_port() -> int:
    """Return a port for a program that is restarted: below those that the kernel gives to outgoing connections."""
    for port in random.sample(range(10_000, 30_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is no free port")


def is_loopback(address: str) -> bool:
    """Tell whether an address of /proc/net/tcp{,6} is reachable from this machine alone."""
    return address.endswith("7F") or address == "00000000000000000000000001000000"


def listening(pids: list[int]) -> set[str]:
    """Return the addresses, as the kernel writes them, on which these processes listen for TCP."""
    inodes = {str(fd.readlink()) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
