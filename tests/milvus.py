"""A throw-away Milvus for tests: the real server, or Milvus Lite's, in a temporary directory on a spare port."""

import signal
import sys
from importlib.util import find_spec

import psutil

from tests import servers
from tests.ports import free_port

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


class Server(servers.Server):
    """A running server, empty at first; gone, with its directory, at the end of the `with` block."""

    start_s, stop_s = 120, 30
    gently, at_once = signal.SIGTERM, signal.SIGKILL

    def __init__(self, kind: str = "milvus") -> None:
        self.kind = kind

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, how: signal.Signals | None = None) -> None:
        """Stop the server and the processes that it started."""
        if self._process is None or self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        if how == signal.SIGKILL:
            for child in children:
                child.kill()
        super().stop(how)
        psutil.wait_procs(children, self.stop_s)

    def _set_up(self) -> None:
        self.port = free_port()
        self._configure_etcd(f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
        self._environment = {
            "ETCD_CONFIG_PATH": str(self.directory / "etcd.yaml"),
            "PORTS": " ".join(str(free_port()) for _ in range(PORTS)),
            "PROXY_PORT": str(self.port),
        }
        self.start()

    def start(self) -> None:
        """Start the server, anew if it was stopped, and wait until it answers."""
        self._launch(*self._command(), env=self._environment)

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
