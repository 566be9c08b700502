"""A start takes as long as the machine needs, and ends at once when a program does not come up."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from simsearch.launch import system
from simsearch.launch.preflight import StartError
from simsearch.launch.supervisor import Supervisor

LOOKS = 3
NO_WORKER = {
    "checks": {"database": {"ok": True}, "worker": {"ok": False, "problem": "No search worker has sent a heartbeat"}}
}


class Starting(system.System):
    """Its programs are started by somebody else."""

    port_option = "PORT="

    def _environment(self, run_dir: Path) -> dict[str, str]:
        return {}

    def _start(self) -> None: ...

    def wait(self, programs: "Programs") -> None:
        self.supervisor = cast(Supervisor, programs)
        self._wait_until_ready()


class Programs:
    """Of which one gives up after so many looks, or none, and one is being started for so many."""

    logs = Path("logs")

    def __init__(self, gives_up_after: float = float("inf"), starts_for: int = 0) -> None:
        self._left = gives_up_after
        self._starts_for = starts_for

    def failing(self) -> list[str]:
        self._left -= 1
        return ["search"] if self._left < 0 else []

    def states(self) -> dict[str, str]:
        self._starts_for -= 1
        return {"web": "RUNNING", "search": "STARTING" if self._starts_for >= 0 else "RUNNING"}

    def tail(self, file_name: str) -> str:
        return f"the end of {file_name}"


@contextmanager
def site(red_looks: float) -> Iterator[int]:
    """Provide a `/readyz` that is red so often, on this port."""
    looks = iter(range(1_000_000))

    class Readyz(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_red = next(looks) < red_looks
            self.send_response(503 if is_red else 200)
            self.end_headers()
            self.wfile.write(json.dumps(NO_WORKER if is_red else {}).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Readyz) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def starting(port: int) -> Starting:
    return Starting("127.0.0.1", port, Path("data"))


@pytest.fixture(autouse=True)
def news_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "NEWS_S", 0.0)


def test_a_slow_start_says_what_is_missing_and_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    with site(LOOKS) as port:
        starting(port).wait(Programs())
    said = capfd.readouterr().out
    assert said.count("Not ready yet: ") == LOOKS
    assert "No search worker has sent a heartbeat" in said
    assert "logs in logs" in said


def test_programs_that_are_being_started_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    with site(0) as port:
        starting(port).wait(Programs(starts_for=LOOKS))
    assert capfd.readouterr().out.count("Not ready yet: being started: search; logs in logs") == LOOKS


def test_a_program_that_gives_up_ends_it() -> None:
    with site(float("inf")) as port, pytest.raises(StartError, match=r"(?s)search does not start; .*the end of"):
        starting(port).wait(Programs(gives_up_after=LOOKS))


def test_a_site_that_is_not_there_yet_is_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(StartError):
        starting(port).wait(Programs(gives_up_after=1))
    assert "Connection refused" in capfd.readouterr().out
