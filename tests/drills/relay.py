"""A TCP relay in front of a server that can be set to refuse, or to take every call and say nothing."""

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from tests.ports import free_port

Mode = Literal["forward", "silent", "refuse"]
Pair = tuple[socket.socket, socket.socket]
HERE = "127.0.0.1"
CHUNK_BYTES = 65536


class Relay:
    """Carries what comes to `port` on to `upstream_port`, both on the loopback; `switch` says how from now on.

    A connection that was open when it fell silent stays so for ever, as when a firewall has forgotten it: after the
    cure only new ones are carried.
    """

    def __init__(self, upstream_port: int) -> None:
        self.port = free_port()
        self._upstream = (HERE, upstream_port)
        self._mode: Mode = "refuse"
        self._listener: socket.socket | None = None
        self._carried: set[Pair] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.switch("forward")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.switch("refuse")

    def switch(self, mode: Mode) -> None:
        with self._lock:
            self._mode = mode
            if mode == "refuse":
                self._hang_up()
            elif self._listener is None:
                self._listener = socket.create_server((HERE, self.port), backlog=128)
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
            if mode == "silent":
                self._carried = set()

    def _hang_up(self) -> None:
        for ours in [self._listener, *(end for pair in self._carried for end in pair)]:
            if ours is not None:
                with suppress(OSError):
                    ours.shutdown(socket.SHUT_RDWR)  # wakes the thread that has it, which closes it
        self._listener, self._carried = None, set()

    def _accept(self, listener: socket.socket) -> None:
        with listener, suppress(OSError):
            while True:
                caller, _ = listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError), socket.create_connection(self._upstream) as server:
            pair = (caller, server)
            with self._lock:
                if self._mode == "refuse":
                    return
                if self._mode == "forward":
                    self._carried.add(pair)
            self._carry(pair)

    def _carry(self, pair: Pair) -> None:
        """Until either end hangs up; what comes in silence is read and lost."""
        other = dict(zip(pair, reversed(pair), strict=True))
        while True:
            for source in select.select(pair, [], [])[0]:
                if not (data := source.recv(CHUNK_BYTES)):
                    return
                if pair in self._carried:
                    other[source].sendall(data)
