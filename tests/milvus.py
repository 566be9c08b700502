"""A throw-away Milvus for tests: the real server, or Milvus Lite's, in a temporary directory on a spare port."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from simsearch.launch import process_group
from tests.ports import free_port

START_S, STOP_S = 120, 30
KINDS = ("milvus", "milvus-lite")
# `milvus-server` leaves its server behind when it is ended by SIGTERM, and looks for ports that two that start at once
# would share.
RUN = """
import os, signal
import milvus
server = milvus.default_server
signal.signal(signal.SIGTERM, lambda *_: server.stop())
ports = map(int, os.environ["PORTS"].split())
server.webservice_port = next(ports)
for key in server.config_keys:
    if key.endswith("_port") and key != "proxy_port":
        server.config.update(**{key: next(ports)})
server.config.update(proxy_port=int(os.environ["PROXY_PORT"]))
milvus.main()
"""
PORTS = 16


def unavailable(kind: str = "milvus") -> str | None:
    """Why no server can be started on this machine; None when one can."""
    package = kind.replace("-", "_")
    if find_spec(package) is None:
        return f"{kind} is not installed (pip install -c constraints.txt {kind})"
    return None


class Server:
    """A running server, empty at first; gone, with its directory, at the end of the `with` block."""

    def __init__(self, kind: str = "milvus") -> None:
        self.kind = kind

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="simsearch-milvus-"))
        self.port = free_port()
        self._configure_etcd(f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
        self._environment = {
            "ETCD_CONFIG_PATH": str(self.directory / "etcd.yaml"),
            "PORTS": " ".join(str(free_port()) for _ in range(PORTS)),
            "PROXY_PORT": str(self.port),
        }
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, anew if it was stopped, and wait until it answers."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=process_group.follow_parent,  # noqa: PLW1509 (nothing else ends it when the tests are killed)
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start:\n{self.log()}")
            time.sleep(0.2)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the server: SIGTERM in good order, SIGKILL as a crash."""
        if self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(how)
        if how == signal.SIGKILL:
            for child in children:
                child.kill()
        self._process.wait(STOP_S)
        psutil.wait_procs(children, STOP_S)

    def log(self) -> str:
        """Return the last lines that the server wrote."""
        return (self.directory / "server.log").read_text(errors="replace")[-3000:]

    def _configure_etcd(self, client: str, peer: str) -> None:
        """Give the etcd inside it ports of its own: two servers on one machine would share the usual ones."""
        (self.directory / "etcd.yaml").write_text(
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\nlisten-peer-urls: {peer}\n"
            f"initial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
        )

    def _command(self) -> list[str]:
        data = str(self.directory / "data")
        if self.kind == "milvus-lite":
            return [sys.executable, "-m", "milvus_lite", "server", "--data-dir", data, "--port", str(self.port)]
        return [sys.executable, "-c", RUN, "--data", data]

    def _answers(self) -> bool:
        from engine.errors import IndexAway
        from engine.index.milvus import Milvus

        try:
            milvus = Milvus(self.uri)
            milvus.names("")
            milvus.close()
        except IndexAway:
            return False
        return True

    def _remove(self) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
