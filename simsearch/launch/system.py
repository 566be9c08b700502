"""What `make run` and a server have in common: look, prepare, start, wait until it answers, watch, stop."""

import http.client
import json
import os
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from simsearch.launch import preflight
from simsearch.launch.foreground import pause, quietly, say
from simsearch.launch.preflight import StartError
from simsearch.launch.processes import Supervisor
from simsearch.launch.web_socket import Offer

NEWS_S = 60.0


class System(ABC):
    """One installation on this machine, from the first look at the options to the last process."""

    # How to say another port.
    port_option: ClassVar[str]

    def __init__(self, host: str, port: int, data_dir: Path, wish: threading.Event) -> None:
        self.host = host
        self.port = port
        self.data_dir = data_dir
        self._wish = wish
        self.environ: dict[str, str] = {}

    def serve(self) -> None:
        """Never returns: raises `Stopped` or `StartError`, and by then nothing runs any more."""
        os.umask(0o077)  # for Redis and supervisord; simsearch/settings.py says it to everybody else
        preflight.writable_directory(self.data_dir)
        with (
            preflight.only_one(self.data_dir),
            self._listener() as listener,
        ):
            self.run_dir = preflight.socket_directory(self.data_dir)
            preflight.nobody_left(self.run_dir)
            self._look_before_starting()
            supervisor = Supervisor(self.data_dir, self.run_dir, self.environ)
            try:
                with Offer(listener, self.run_dir / "web.sock") as offer:
                    self._start(supervisor, offer)
                    self._watch(supervisor)
            finally:
                supervisor.stop()

    def _listener(self) -> socket.socket:
        return preflight.listen(self.host, self.port, self.port_option)

    @abstractmethod
    def _look_before_starting(self) -> None:
        """Fill `environ` with what every process gets; raise StartError rather than start in vain."""

    @abstractmethod
    def _start(self, supervisor: Supervisor, offer: Offer) -> None:
        """Return when uploads are answered."""

    @abstractmethod
    def _asking(self) -> dict[str, str]:
        """The headers of a request that the site answers."""

    def _prepare(self) -> dict[str, bool]:
        say("Preparing the database")
        code, output, errors = quietly(self._wish, self.environ, sys.executable, "-m", "simsearch.launch.prepare")
        if code:
            raise StartError(errors.strip().removeprefix("simsearch: ") or f"The preparation ended with {code}.")
        known: dict[str, bool] = json.loads(output.splitlines()[-1])
        return known

    # --- Ready, and from then on ----------------------------------------------------------------------------

    def _wait_until_ready(self, supervisor: Supervisor) -> None:
        """Return when uploads are answered, however long that takes; raise StartError when a program does not start.

        Uploads come in meanwhile and are kept. On a machine that is busy with them the workers need minutes to start,
        and stopping then would help nobody: the next start would find more of them.
        """
        say("Starting the workers and the site")
        news = time.monotonic() + NEWS_S
        while True:
            self._refuse_failing(supervisor)
            starting = [name for name, state in supervisor.states().items() if state != "RUNNING"]
            answer = f"being started: {', '.join(starting)}"
            if not starting:  # a worker of an earlier start, stopped just now, may still count as ready
                is_ready, answer = self._readiness()
                if is_ready:
                    return
            if time.monotonic() > news:
                news = time.monotonic() + NEWS_S
                say(f"Not ready yet: {answer.strip()[:500]}; logs in {supervisor.logs}")
            pause(self._wish, 0.5)

    def _refuse_failing(self, supervisor: Supervisor) -> None:
        for name in supervisor.failing():
            log = supervisor.logs / f"{name}.log"
            raise StartError(f"{name} does not start; {log} ends with:\n{supervisor.tail(log.name)}")

    def _readiness(self) -> tuple[bool, str]:
        """Whether /readyz misses nothing, and what it says. Uploads that waited through a pause are no reason."""
        connection = http.client.HTTPConnection(preflight.authority(self.host, self.port), timeout=5)
        try:
            connection.request("GET", "/readyz", headers=self._asking())
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return False, str(error)
        finally:
            connection.close()
        return response.status == 200 or _only_late(text), text

    def _watch(self, supervisor: Supervisor) -> None:
        while supervisor.alive():
            pause(self._wish, 0.5)
        raise StartError(f"supervisord ended by itself; see {supervisor.logs / 'supervisord.log'}")


def _only_late(text: str) -> bool:
    try:
        checks = json.loads(text)["checks"]
    except (ValueError, LookupError, TypeError):
        return False
    return [name for name, check in checks.items() if not check["ok"]] == ["waiting"]
