"""The parent of all processes of an installation, for `make run` and servers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, NoReturn

from django.core.exceptions import ImproperlyConfigured

from simsearch.launch import gpu, preflight, process_group, supervisor
from simsearch.launch.preflight import StartError
from simsearch.launch.supervisor import ROOT, Supervisor

NEWS_S = 60.0
LOOK_EVERY_S = 2.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `kill` and a closed terminal


class System(ABC):
    """An installation on this machine, from the preflight checks to the end of the last process."""

    port_option: ClassVar[str]  # how to choose another port, for messages
    flower_port: int
    has_own_redis = False

    def __init__(self, host: str, port: int, data_dir: Path) -> None:
        self.host = host
        self.port = port
        self.data_dir = data_dir
        self.environ: dict[str, str] = {}
        self.headers: dict[str, str] = {}  # of our own requests to the site
        self.inherited: socket.socket | None = None  # the site's socket, if systemd keeps it open

    def serve(self) -> NoReturn:
        """Serve until KeyboardInterrupt or StartError, and stop every process."""
        os.umask(0o077)  # for Redis and supervisord; simsearch/settings.py sets it for the others
        preflight.writable_directory(self.data_dir)
        with (
            preflight.only_one(self.data_dir),
            # It stays open during a restart of gunicorn, so connections wait.
            self.inherited or preflight.listen(self.host, self.port, self.port_option) as listener,
        ):
            run_dir = preflight.socket_directory(self.data_dir)
            preflight.nothing_left(run_dir)
            gpu.search_children(os.environ)
            own = self._environment(run_dir) | {"SIMSEARCH_HOST": self.host, "SIMSEARCH_PORT": str(self.port)}
            programs = (self.data_dir, run_dir, listener, self.flower_port)
            self.environ = own | supervisor.variables(*programs, own_redis=self.has_own_redis)
            self.supervisor = Supervisor(self.data_dir, run_dir, self.environ)
            try:
                self._start()
                self._watch()
            finally:
                if self.supervisor.alive():
                    say("\nStopping …")
                self.supervisor.stop()

    @abstractmethod
    def _environment(self, run_dir: Path) -> dict[str, str]:
        """Return the settings of every process, after the last preflight checks. Raises StartError."""

    @abstractmethod
    def _start(self) -> None:
        """Start the programs and wait until uploads are answered."""

    def _prepare(self) -> dict[str, bool]:
        """Check the settings, migrate, collect the static files, and return facts about the gallery."""
        say("Preparing the database")
        code, output, errors = self._run("-m", "simsearch.launch.prepare", is_quiet=True)
        if code:
            raise StartError(errors.strip().removeprefix("simsearch: ") or f"The preparation ended with {code}.")
        facts: dict[str, bool] = json.loads(output.splitlines()[-1])
        return facts

    def _run(self, *arguments: str, is_quiet: bool = False) -> tuple[int, str, str]:
        """Run Python in the foreground, and return exit code, output and errors. `Supervisor.stop` ends it too."""
        output = subprocess.PIPE if is_quiet else None
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=self.environ, stdout=output, stderr=output, text=True
        )
        outputs = process.communicate()
        return process.returncode, *outputs

    # --- Ready, and from then on ----------------------------------------------------------------------------

    def _wait_until_ready(self) -> None:
        """Wait until uploads are answered, without a limit. Raises StartError when a program does not start.

        Uploads are accepted already. On a machine that is busy with them the workers need minutes to start, and
        stopping would not help: the next start would find more of them.
        """
        say("Starting the workers and the site")
        news = time.monotonic() + NEWS_S
        while True:
            self._refuse_failing()
            starting = [name for name, state in self.supervisor.states().items() if state != "RUNNING"]
            answer = f"being started: {', '.join(starting)}"
            if not starting:  # a worker of an earlier start may still count as ready
                is_ready, answer = self._readiness()
                if is_ready:
                    return
            if time.monotonic() > news:
                news = time.monotonic() + NEWS_S
                say(f"Not ready yet: {answer.strip()[:500]}; logs in {self.supervisor.logs}")
            time.sleep(0.5)

    def _refuse_failing(self) -> None:
        for name in self.supervisor.failing():
            log = self.supervisor.logs / f"{name}.log"
            raise StartError(f"{name} does not start; {log} ends with:\n{self.supervisor.tail(log.name)}")

    def _readiness(self) -> tuple[bool, str]:
        """Return whether /readyz is ready, and its text. Uploads that waited during a stop do not count."""
        connection = http.client.HTTPConnection(preflight.authority(self.host, self.port), timeout=5)
        try:
            connection.request("GET", "/readyz", headers=self.headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return False, str(error)
        finally:
            connection.close()
        if response.status == http.client.OK:
            return True, text
        with suppress(ValueError, LookupError, TypeError):
            failed = [name for name, check in json.loads(text)["checks"].items() if not check["ok"]]
            return failed == ["waiting"], text
        return False, text

    def _watch(self) -> NoReturn:
        """Restart programs that ended, supervisord included."""
        while True:
            time.sleep(LOOK_EVERY_S)
            try:
                if self.supervisor.alive():
                    self.supervisor.start_given_up()
                    continue
                say("supervisord ended by itself; starting it again.")
                process_group.end_descendants()
                self.supervisor.launch(autostart=True)
            except (StartError, OSError) as error:  # for example on a full disk
                say(f"{error}\nTrying again.")


def run(make: Callable[[], System]) -> int:
    """Serve until a signal stops it, and return the exit code: 0 then, 1 when it could not start."""
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        make().serve()
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except (StartError, ImproperlyConfigured) as refusal:
        print(f"simsearch: {refusal}", file=sys.stderr, flush=True)
    return 1


def _interrupt(*_: object) -> NoReturn:
    """Raise KeyboardInterrupt, once: a second signal must not interrupt the stop."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def say(line: str, end: str = "\n") -> None:
    """Print a line; a closed terminal must not prevent the stop."""
    with suppress(OSError):
        print(line, end=end, flush=True)
