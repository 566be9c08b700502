"""A throw-away server for tests: a process with a log and a temporary directory, both gone at the end."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from simsearch.launch import process_group


class Server(ABC):
    """Runs within a `with` block. A kind of server says what `_set_up` does, and when it `_answers`.

    Raises RuntimeError with the server's own words when it does not start.
    """

    kind: str
    start_s: ClassVar[float]
    stop_s: ClassVar[float]
    gently: ClassVar[signal.Signals]
    at_once: ClassVar[signal.Signals]
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Not below pytest's own temporary folder, which another account may not enter.
        self.directory = Path(tempfile.mkdtemp(prefix=f"simsearch-{self.kind}-"))
        try:
            self._set_up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def stop(self, how: signal.Signals | None = None) -> None:
        """Stop the server, by `gently` where nothing else is said."""
        if self._process is not None:
            self._process.send_signal(how or self.gently)
            self._process.wait(self.stop_s)

    def log(self) -> str:
        """Return the last lines that the server wrote."""
        return (self.directory / "server.log").read_text(errors="replace")[-3000:]

    @abstractmethod
    def _set_up(self) -> None:
        """Make what the server needs, and start it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether it takes connections."""

    def _launch(self, *command: str, **options: Any) -> None:
        """Start the server and wait until it answers."""
        self._process = self._popen(*command, **options)
        deadline = time.monotonic() + self.start_s
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start:\n{self.log()}")
            time.sleep(0.05)

    def _popen(self, *command: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        with (self.directory / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests; they stop it themselves
                preexec_fn=process_group.follow_parent,  # noqa: PLW1509 (nothing else ends it when the tests are killed)
                **options,
            )

    def _remove(self) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.stop(self.at_once)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
