"""Requests of one process take turns; what is slow holds up nobody."""

import io
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from simsearch.turns import Environ, InTurn, Turns

PATIENT, IMPATIENT = 60.0, 0.05
LIMIT_S = 30


class Arriving:
    """A body of `length` bytes, of which the last comes when it is said so."""

    def __init__(self, length: int) -> None:
        self._rest = io.BytesIO(b"x" * length)
        self._length = length
        self.asked, self.all_there = threading.Event(), threading.Event()

    def read(self, size: int = -1) -> bytes:
        if self._rest.tell() + size >= self._length:
            self.asked.set()
            assert self.all_there.wait(LIMIT_S)
        return self._rest.read(size)

    def readline(self, size: int = -1) -> bytes:
        return self.read(size)


def asked(application: Callable[..., Iterable[bytes]], body: Any = None, length: int = 0) -> bytes:
    """What it answers to a request."""
    environ: Environ = {"wsgi.input": body} | ({"CONTENT_LENGTH": str(length)} if length else {})
    return b"".join(application(environ, lambda *_: None))


class Site:
    """An application that knows how many of its requests run at once, and holds one back until it is let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self.most = 0
        self.held, self.let_go = threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH", 0))
        read = b""
        while len(read) < length:
            read += environ["wsgi.input"].read(2)
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        threading.Event().wait(0.01)  # as a database would be waited for
        with self._lock:
            self._running -= 1
        return [read or b"looked"]

    def hold(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer only when it is let go."""
        self.held.set()
        assert self.let_go.wait(LIMIT_S)
        return self(environ, start_response)


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_run_at_once_and_all_are_answered(count: int) -> None:
    site = Site()
    application = InTurn(site, Turns(count, PATIENT))
    with ThreadPoolExecutor(8) as threads:
        requests = [threads.submit(asked, application) for _ in range(40)]
        uploads = [threads.submit(asked, application, io.BytesIO(b"picture"), 7) for _ in range(40)]
        assert {request.result(LIMIT_S) for request in requests} == {b"looked"}
        assert {upload.result(LIMIT_S) for upload in uploads} == {b"picture"}
    assert site.most == count


def test_whose_body_is_on_its_way_takes_no_turn_until_it_is_there() -> None:
    site = Site()
    turns = Turns(1, PATIENT)
    application = InTurn(site, turns)
    body = Arriving(6)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(asked, application, body, 6)
        assert body.asked.wait(LIMIT_S)
        assert [asked(application) for _ in range(3)] == [b"looked"] * 3

        mine = turns.take()
        assert mine is not None
        body.all_there.set()
        threading.Event().wait(0.05)
        assert not slow.done()  # it waits for its turn like everybody else
        mine.release()
        assert slow.result(LIMIT_S) == b"xxxxxx"


def test_one_that_takes_long_loses_its_turn_to_those_who_come_after_it() -> None:
    site = Site()
    turns = Turns(1, IMPATIENT)
    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(asked, InTurn(site.hold, turns))
        assert site.held.wait(LIMIT_S)
        assert asked(InTurn(site, turns)) == b"looked"  # after its patience
        mine = turns.take()
        assert mine is not None  # at once: nobody is patient with that one twice
        assert turns.take() is None  # and they take turns among themselves
        site.let_go.set()
        assert long.result(LIMIT_S) == b"looked"


def test_a_request_that_breaks_gives_its_turn_back() -> None:
    def broken(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise ZeroDivisionError

    turns = Turns(1, PATIENT)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            asked(InTurn(broken, turns))
    assert turns.take() is not None
