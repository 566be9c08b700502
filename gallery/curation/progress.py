"""The progress of a command: a bar with rate and time left on a terminal, plain lines elsewhere (logs, `make run`)."""

import shutil
import sys
import time
from typing import Self, TextIO

from tqdm import tqdm

LINE_EVERY_S = 2.0


class Progress:
    """The progress of a command with `total` things to do, on stderr, so that stdout is left to its results.

    `with Progress(len(files), "Importing") as progress:` and then, as often as it likes, `progress.advance(n)` when
    n more are done: 1 for loops that go one by one, the batch's size for others. When it ends early, by a failure or
    by Ctrl-C, what it says last is how far it came.
    """

    def __init__(self, total: int, description: str, unit: str = "picture", stream: TextIO | None = None) -> None:
        self.done = 0
        self.total = total
        self._what = description
        self._unit = unit
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        # Some terminals (`docker exec -t`, CI) say that they are 0 x 0 large: tqdm would then show nothing at all.
        size = shutil.get_terminal_size()
        self._bar = tqdm(
            total=total,
            desc=description,
            unit=f" {unit}s",
            file=self._stream,
            disable=not self._is_terminal,
            ncols=size.columns,
            nrows=size.lines,
        )
        self._started_s = self._said_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if not self._is_terminal:
            self._say()

    def advance(self, n: int) -> None:
        """Count n more as done."""
        self.done += n
        self._bar.update(n)
        if not self._is_terminal and time.monotonic() - self._said_s >= LINE_EVERY_S:
            self._say()

    def _say(self) -> None:
        self._said_s = time.monotonic()
        elapsed_s = self._said_s - self._started_s
        rate = f", {self.done / elapsed_s:.1f} a second" if elapsed_s >= 1 else ""
        print(f"{self._what}: {self.done} of {self.total} {self._unit}s{rate}", file=self._stream, flush=True)
