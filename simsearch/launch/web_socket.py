"""The socket that the site listens on, held by the parent of all processes.

While gunicorn is replaced, connections wait in the kernel instead of being refused: a restart loses no request.
"""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# As gunicorn's own; the kernel takes the smaller one of this and net.core.somaxconn.
BACKLOG = 2048


class Offer:
    """Hands `listener` to every process of ours that connects to `path`, from `start` to the end of the block.

    Whoever connects before `start` waits: until then nothing but the main thread runs, so that it may fork.
    """

    def __init__(self, listener: socket.socket, path: Path) -> None:
        self._listener = listener
        self._listener.listen(BACKLOG)
        self._path = path
        self._offers = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._offers.bind(str(self._path))
        self._path.chmod(0o700)
        self._offers.listen()
        return self

    def start(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # shut down by the end of the block
            while True:
                taker, _ = self._offers.accept()
                with taker, suppress(OSError):
                    socket.send_fds(taker, [b"."], [self._listener.fileno()])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._offers.shutdown(socket.SHUT_RDWR)
        self._offers.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)
