"""Where the product's CPU time goes: by kind of process from the kernel, by function from py-spy's samples."""

import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from bench import system
from bench.report import Row

SAMPLES_PER_S = 25
FUNCTIONS = 8  # of each kind of process: those that spend most themselves
PROCESS = re.compile(r"process (\d+):")
# Functions that wait. py-spy leaves idle threads out, but not on every kernel.
WAITING = re.compile(
    r"\b(select|_?poll(_fds)?|_?recv\w*|_read_from_socket|_worker|_report_regularly|_has_sent|_serve) \("
)


class Profile:
    """Samples of a process and everything below it, from the start to the end of a `with` block."""

    def __init__(self, pid: int, directory: Path) -> None:
        self._pid, self._file = pid, directory / "profile.txt"

    def __enter__(self) -> Self:
        self._kinds, self._cpu_s = system.kinds(self._pid), system.cpu_s(self._pid)
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(self._pid), "--subprocesses"]
        how = ["--rate", str(SAMPLES_PER_S), "--format", "raw", "--output", str(self._file)]
        self._spy = subprocess.Popen([*spy, *how], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self._cpu_s = {kind: now_s - self._cpu_s.get(kind, 0.0) for kind, now_s in system.cpu_s(self._pid).items()}
        self._spy.send_signal(signal.SIGINT)  # it writes its file then
        self._spy.wait(60)

    def rows(self, searches: int) -> Iterator[Row]:
        """Yield the CPU time that each kind of process takes for a search, and how it is spent in its functions."""
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        for line in self._file.read_text().splitlines():
            stack, _, samples = line.rpartition(" ")
            function = stack.split(";")[-1]
            if not WAITING.search(function):
                process = PROCESS.findall(stack)[-1]  # after its parents
                kinds[self._kinds.get(int(process), system.OTHER)][_short(function)] += int(samples)
        for kind, spent_s in sorted(self._cpu_s.items(), key=lambda item: -item[1]):
            yield Row(f"profile: {kind}", 1000 * spent_s / searches, "ms a search")
            for name, count in kinds[kind].most_common(FUNCTIONS):
                yield Row(f"  {name}", 1000 * spent_s / searches * count / kinds[kind].total(), "ms a search")


def _short(frame: str) -> str:
    """Return the function and its file, without the line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({'/'.join(place.partition(':')[0].split('/')[-2:])})"[:56]
