"""Requests take turns in each of gunicorn's processes, so that its threads do not get into each other's way.

Python runs one thread at a time. Left alone, threads change places whenever one of them looks into the database, a
file or Redis, and what one had in the processor's cache is gone when it comes back: a search cost 93 such changes, with
turns 39 (docs/performance.md). The threads are there for slow visitors: whose body is on its way takes no turn yet.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

PATIENCE_S = 0.5  # usual requests take a twentieth of that, on busy cores

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Turns:
    """`count` requests run at once.

    Nobody waits longer than `patience_s`: one that takes longer than that (a database that is locked, a Redis that is
    silent, a curator's large deletion) loses its turn, and goes on beside those that come after it.
    """

    def __init__(self, count: int, patience_s: float = PATIENCE_S) -> None:
        self._count = count
        self._patience_s = patience_s
        self._places = threading.Semaphore(count)

    def take(self) -> threading.Semaphore | None:
        """Wait for a turn; return what has to be released at its end, None when it came without one."""
        places = self._places
        if places.acquire(timeout=self._patience_s):
            return places
        if self._places is places:
            self._places = threading.Semaphore(self._count)  # nobody else waits for those who take so long
        return None


class InTurn:
    """A WSGI application whose requests take turns from when their body is there until their answer begins."""

    def __init__(self, application: Application, turns: Turns) -> None:
        self._application = application
        self._turns = turns

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        turn = _Turn(self._turns)
        if length := int(environ.get("CONTENT_LENGTH") or 0):
            environ["wsgi.input"] = _Body(environ["wsgi.input"], length, turn.begin)
        else:
            turn.begin()
        try:
            return self._application(environ, start_response)
        finally:
            turn.end()


class _Turn:
    """That of one request."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._has_begun = False
        self._place: threading.Semaphore | None = None

    def begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._place = self._turns.take()

    def end(self) -> None:
        if self._place is not None:
            self._place.release()


class _Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...


class _Body:
    """What Django reads of `wsgi.input`; calls `whole` once `length` bytes have come."""

    def __init__(self, stream: _Stream, length: int, whole: Callable[[], None]) -> None:
        self._stream = stream
        self._left = length
        self._whole = whole

    def read(self, size: int = -1, /) -> bytes:
        return self._came(self._stream.read(size))

    def readline(self, size: int = -1, /) -> bytes:
        return self._came(self._stream.readline(size))

    def _came(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left <= 0:
            self._whole()
        return data
