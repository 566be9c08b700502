"""The listening socket outlives the programs that listen on it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from simsearch.launch.web_socket import Offer
from tests.stack import ROOT

# What gunicorn does with systemd's socket: answer one, and end.
ANSWER_ONE = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
client, _ = socket.socket(fileno=3).accept()
client.sendall(b"answered by %d" % os.getpid())
client.close()
"""


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def take(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "simsearch/launch/inherit.py", str(path), sys.executable, "-c", ANSWER_ONE]
    return subprocess.Popen(command, cwd=ROOT)


def test_whoever_comes_between_two_programs_waits_and_is_answered(tmp_path: Path, listener: socket.socket) -> None:
    with Offer(listener, tmp_path / "web.sock") as offer:
        offer.start()
        for _ in range(2):  # nobody listens yet, or no longer
            with socket.create_connection(listener.getsockname()) as visitor:
                program = take(tmp_path / "web.sock")
                assert visitor.recv(100) == b"answered by %d" % program.pid
                assert program.wait(10) == 0


def test_a_program_that_asks_too_early_waits(tmp_path: Path, listener: socket.socket) -> None:
    with Offer(listener, tmp_path / "web.sock") as offer:
        program = take(tmp_path / "web.sock")
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.5)
        offer.start()
        with socket.create_connection(listener.getsockname()) as visitor:
            assert visitor.recv(100) == b"answered by %d" % program.pid
        assert program.wait(10) == 0


def test_nobody_else_can_take_it_and_nothing_is_left(tmp_path: Path, listener: socket.socket) -> None:
    with Offer(listener, tmp_path / "web.sock") as offer:
        offer.start()
        assert (tmp_path / "web.sock").stat().st_mode & 0o777 == 0o700
    assert not os.path.lexists(tmp_path / "web.sock")
    assert listener.fileno() == -1
