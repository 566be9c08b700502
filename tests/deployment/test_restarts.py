"""Twenty uploads a second while everything is stopped, reloaded and started again: each is accepted and answered.

No connection breaks, and no client gets an error but "busy, come again", and then it is accepted.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import httpx
import pytest

from tests.demo import jpegs
from tests.deployment.server import Server

PERIOD_S = 1 / 20
ANSWERED_S = 180

pytestmark = pytest.mark.timeout(900)  # real restarts, on a machine that may be busy


def test_nothing_is_lost_when_gunicorn_is_reloaded_restarted_and_stopped(server: Server) -> None:
    (master, *_) = server.pids("bin/gunicorn")
    with uploads(server) as sent:
        time.sleep(1)
        server.supervisorctl("signal", "HUP", "simsearch:web")
        time.sleep(3)
        server.supervisorctl("restart", "simsearch:web")
        assert master not in server.pids("bin/gunicorn")
        os.kill(min(server.pids("bin/gunicorn")), signal.SIGTERM)
        time.sleep(3)
        server.nginx.reload()
        time.sleep(2)
    all_are_answered(server, sent)


def test_nothing_is_lost_when_the_other_programs_are_restarted(server: Server) -> None:
    with uploads(server) as sent:
        os.kill(min(server.pids("--queues search")), signal.SIGTERM)
        time.sleep(2)
        with ThreadPoolExecutor(3) as operators:
            list(operators.map(partial(restart, server), ("search", "gallery", "flower")))
    all_are_answered(server, sent)


def test_nothing_is_lost_when_the_server_is_restarted(server: Server) -> None:
    with uploads(server) as sent:
        time.sleep(1)
        server.restart()
    all_are_answered(server, sent)


def restart(server: Server, program: str) -> None:
    server.supervisorctl("restart", f"simsearch:{program}")


@contextmanager
def uploads(server: Server) -> Iterator[list[Future[httpx.Response]]]:
    """Upload, as a visitor of its own, every PERIOD_S as long as the block runs, whatever becomes of the others."""
    pictures = jpegs(8)
    sent: list[Future[httpx.Response]] = []
    enough = threading.Event()

    def send(number: int) -> httpx.Response:
        with closing(server.visitor()) as visitor:
            picture = pictures[number % len(pictures)]
            return visitor.post("/api/queries", files={"image": ("picture.jpg", picture)})

    def keep_sending() -> None:
        while not enough.wait(PERIOD_S):
            sent.append(threads.submit(send, len(sent)))

    with ThreadPoolExecutor(1000) as threads:
        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            yield sent
        finally:
            enough.set()
            sender.join()


def all_are_answered(server: Server, sent: list[Future[httpx.Response]]) -> None:
    responses = [future.result() for future in sent]  # raises what broke a connection
    assert len(responses) > 50
    assert {response.status_code for response in responses} == {202}, {response.text for response in responses}
    answers = [server.answer(response.json()["id"], ANSWERED_S) for response in responses]
    assert {answer["state"] for answer in answers} == {"done"}
    assert {len(answer["matches"]) for answer in answers} == {10}
