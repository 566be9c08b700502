"""Pictures on S3 against pictures on the disk: `python -m bench.storage [--quick] [--photos DIR]`.

Two systems as `make run` starts them, with the same gallery, are searched in turns at 64 in flight. The S3 server is
that of the tests (moto, one Python process). It uses the cores of the searches, so its share is in the table.
"""

import os
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import psutil

from bench import photos, report
from bench.load import Visitor, drive
from bench.report import Row, say
from bench.system import System

IN_FLIGHT, GOAL = 64, 0.7
GALLERY, QUERIES = 300, 160


def main() -> None:
    """Measure, print the table, write bench/out/storage.json."""
    chosen = report.options(__doc__)
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        report.publish("storage", list(measure(Path(directory), chosen.photos, 2 if chosen.quick else 5)))


def measure(directory: Path, folder: Path, rounds: int) -> Iterator[Row]:
    """Start both, measure in turns, yield the figures."""
    from tests.s3 import S3Server  # the throw-away server of the tests

    pictures = photos.split(directory / "photos", GALLERY, QUERIES, 0, folder)
    files = list(islice(cycle(path.read_bytes() for path in sorted(pictures.queries.iterdir())), 3 * QUERIES))
    per_s: dict[str, list[float]] = {"disk": [], "S3": []}
    server_ms = []
    say("starting both, importing the gallery")
    with (
        S3Server() as server,
        System(directory / "disk", pictures.gallery) as disk,
        System(directory / "s3", pictures.gallery, **server.environment) as s3,
    ):
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name, product in (("disk", disk), ("S3", s3)):
                drive(product.port, Visitor.search, files[:IN_FLIGHT], IN_FLIGHT)
                before = server_cpu_s(os.getpid())
                per_s[name].append(drive(product.port, Visitor.search, files, IN_FLIGHT).per_s)
                if name == "S3":
                    server_ms.append((server_cpu_s(os.getpid()) - before) / len(files) * 1e3)
    yield report.at_least_ratio(
        "64 in flight: pictures on S3, to disk", median(per_s["S3"]), median(per_s["disk"]), GOAL
    )
    yield Row("CPU a search of the S3 server", median(server_ms), "ms")


def server_cpu_s(pid: int) -> float:
    """Return the CPU seconds so far of the S3 server, a child of this process."""
    [server] = [one for one in psutil.Process(pid).children() if "moto.server" in one.cmdline()]
    return float(sum(server.cpu_times()[:2]))


if __name__ == "__main__":
    main()
