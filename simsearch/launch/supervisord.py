"""`python -m simsearch.launch.supervisord OPTIONS`: supervisord, whose logs survive a full disk.

supervisor's own file handler raises when a log cannot be rotated, and reports each failed write to standard error,
a file on the same disk. The first closes the pipe of a program, which then hangs; the second ends supervisord.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from supervisor import loggers, supervisord

from simsearch.launch import process_group


class LossyFileHandler(loggers.RotatingFileHandler):  # type: ignore[misc]
    """A log file that drops lines while the disk is full."""

    stream: BinaryIO

    def emit(self, record: loggers.LogRecord) -> None:
        """Write one line of the log."""
        with suppress(OSError):
            if self.stream.closed:  # by a rotation that failed
                self.stream = Path(self.baseFilename).open("ab")  # noqa: SIM115
            super().emit(record)

    def handleError(self) -> None:  # noqa: N802 (supervisor's name)
        """Ignore a failed write."""


if __name__ == "__main__":
    process_group.follow_parent(int(os.environ["SIMSEARCH_PARENT"]))
    loggers.RotatingFileHandler = LossyFileHandler
    supervisord.main()
