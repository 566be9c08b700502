"""Searches over HTTP against the classic design: `python -m bench.search [--quick] [--profile] [--photos DIR]`.

Measured in turns, five rounds: the bare pipeline (bench/pipeline.py), the classic design (bench/classic/) with one loop
and with a loop per core, and the product as `make run` starts it, polled as the page polls it. All have the same
model, photographs and gallery. At each load the product is compared with the better of the two classic ones.
`--profile` samples the product alone at 64 in flight instead: where does its CPU time go? (bench/profiling.py)
"""

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from bench import photos, pipeline, report, system
from bench.classic.server import Classic
from bench.load import Round, Visitor, drive
from bench.profiling import Profile
from bench.report import Row, say
from bench.system import System

LARGE = "64 in flight, 12 megapixels"
LOADS = {"1 in flight": 1, "8 in flight": 8, "64 in flight": 64, LARGE: 64}
CPU_GOAL_MS, WEB_GOAL_MB, IDLE_GOAL_MB = 6.0, 80.0, 1200.0


@dataclass(frozen=True)
class Effort:
    """How thoroughly is measured: `searches` of one round at each load, `waiting`: how many at once in the end."""

    gallery: int
    queries: int
    large: int
    rounds: int
    searches: dict[str, int]
    seconds: float
    waiting: int


FULL = Effort(1400, 320, 64, 5, {"1 in flight": 80, "8 in flight": 320, "64 in flight": 480, LARGE: 192}, 4, 1000)
QUICK = Effort(300, 160, 16, 2, {"1 in flight": 24, "8 in flight": 96, "64 in flight": 160, LARGE: 64}, 2, 300)


@dataclass
class Measured:
    """All rounds: of each system at each load, of the pipeline, and the CPU of the product's processes at 64."""

    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    pipeline: list[dict[str, float]] = field(default_factory=list)
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # a query, by kind of process

    def per_s(self, name: str, load: str) -> float:
        """Return the searches a second."""
        return median(one.per_s for one in self.rounds[name, load])

    def ms(self, name: str, load: str, percent: float) -> float:
        """Return a percentile of the latency."""
        return median(one.percentile_ms(percent) for one in self.rounds[name, load])


def main() -> None:
    """Measure, print the table, write bench/out/search.json."""
    chosen = report.options(__doc__, profile="where the product's CPU time goes, instead of the comparison")
    effort = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        figures, name = (profiled, "profile") if chosen.profile else (measure, "search")
        report.publish(name, list(figures(Path(directory), chosen.photos, effort)))


def profiled(directory: Path, folder: Path, effort: Effort) -> Iterator[Row]:
    """Sample the product at 64 in flight, yield what each kind of process and each function takes."""
    pictures = photos.split(directory / "photos", effort.gallery, effort.queries, 0, folder)
    queries = [path.read_bytes() for path in sorted(pictures.queries.iterdir())]
    say("starting the product, importing the gallery")
    with System(directory / "product", pictures.gallery) as product:
        drive(product.port, Visitor.search, queries[:64], 64)
        with Profile(product.pid, directory) as profile:
            for number in range(effort.rounds):
                say(f"round {number + 1} of {effort.rounds}")
                drive(product.port, Visitor.search, queries, 64)
        yield from profile.rows(effort.rounds * len(queries))


def measure(directory: Path, folder: Path, effort: Effort) -> Iterator[Row]:
    """Start everything, measure in turns, yield the figures."""
    say("scaling photographs up to 12 megapixels")
    pictures = photos.split(directory / "photos", effort.gallery, effort.queries, effort.large, folder)
    queries = [path.read_bytes() for path in sorted(pictures.queries.iterdir())]
    large = [path.read_bytes() for path in sorted(pictures.large.iterdir())]
    measured, cores = Measured(), os.cpu_count() or 1
    with ExitStack() as block:
        say("starting the product, importing the gallery")
        product = block.enter_context(System(directory / "product", pictures.gallery))
        idle_mb = system.pss_mb(product.pid)
        say("starting the classic design")
        classics = [
            block.enter_context(Classic(directory / f"classic-{loops}", pictures.gallery, loops))
            for loops in sorted({1, cores})
        ]
        [index] = [path for path in (product.data_dir / "index").iterdir() if path.name.isdecimal()]
        bare = [pipeline.start(block, pictures.queries, str(index), effort.seconds) for _ in range(cores)]
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            measured.pipeline.append(pipeline.run(bare))
            for load, in_flight in LOADS.items():
                files = list(islice(cycle(large if load == LARGE else queries), effort.searches[load]))
                for classic in classics:
                    measured.rounds[classic.name, load].append(_ask_classic(classic, files, in_flight))
                measured.rounds["product", load].append(_ask_product(measured, product, load, files, in_flight))
        say(f"{effort.waiting} uploads at once")
        many = list(islice(cycle(queries), effort.waiting))
        at_once = [(classic, _ask_classic(classic, many, effort.waiting)) for classic in classics]
        ours = drive(product.port, Visitor.search, many, effort.waiting)
        yield from _loads(measured, [classic.name for classic in classics])
        yield from _at_once(effort.waiting, ours, min(one.seconds for _, one in at_once))
        yield from _cost(measured)
        yield report.at_most("memory of all processes, idle (sum of PSS)", sum(idle_mb.values()), "MB", IDLE_GOAL_MB)
        for kind, mb in sorted(idle_mb.items()):
            yield Row(f"memory, idle: {kind}", mb, "MB")
        web_mb = system.peak_mb(product.pid)["web"]
        yield report.at_most("peak memory of a web process", web_mb, "MB", WEB_GOAL_MB)


# --- One measurement ----------------------------------------------------------------------------------------


def _ask_classic(classic: Classic, files: list[bytes], in_flight: int) -> Round:
    classic.resume()
    try:
        drive(classic.port, Visitor.search_classic, files[:in_flight], in_flight)  # open the connections
        return drive(classic.port, Visitor.search_classic, files, in_flight)
    finally:
        classic.suspend()


def _ask_product(measured: Measured, product: System, load: str, files: list[bytes], in_flight: int) -> Round:
    drive(product.port, Visitor.search, files[:in_flight], in_flight)
    before = system.cpu_s(product.pid)
    result = drive(product.port, Visitor.search, files, in_flight)
    if load == "64 in flight":
        for kind, spent_s in system.cpu_s(product.pid).items():
            measured.cpu_ms[kind].append((spent_s - before.get(kind, 0.0)) / len(files) * 1e3)
    return result


# --- The table ----------------------------------------------------------------------------------------------


def _loads(measured: Measured, classics: list[str]) -> Iterator[Row]:
    bare = median(one["per_s"] for one in measured.pipeline)
    for load, in_flight in LOADS.items():
        if in_flight == 1:
            rival = min(measured.ms(name, load, 50) for name in classics)
            yield report.against(f"{load}: upload to result, p50", measured.ms("product", load, 50), rival, "ms", 1.5)
        else:
            rival = max(measured.per_s(name, load) for name in classics)
            yield report.at_least_ratio(f"{load}: searches", measured.per_s("product", load), rival, 1.0)
        for name in (*classics, "product"):
            yield Row(f"{load}: {name}", measured.per_s(name, load), "/s")
            yield Row(f"{load}: {name}, p50", measured.ms(name, load, 50), "ms")
            yield Row(f"{load}: {name}, p95", measured.ms(name, load, 95), "ms")
        ours = measured.rounds["product", load]
        polls = sum(one.polls for one in ours) / sum(len(one.latencies) for one in ours)
        yield Row(f"{load}: polls a search", polls, "")
        yield report.at_most(f"{load}: uploads refused", sum(one.refused for one in ours), "", 0)
    ours_per_s = measured.per_s("product", "64 in flight")
    yield report.at_least_ratio("64 in flight: searches, to the bare pipeline", ours_per_s, bare, 0.6)


def _at_once(count: int, ours: Round, rival_s: float) -> Iterator[Row]:
    yield report.at_most(f"{count} at once: uploads refused", ours.refused, "", 0)
    yield report.at_most(f"{count} at once: lost", count - len(ours.latencies), "", 0)
    yield report.against(f"{count} at once: until the last result", ours.seconds, rival_s, "s", 1.1)


def _cost(measured: Measured) -> Iterator[Row]:
    bare_ms = median(one["cpu_ms"] for one in measured.pipeline)
    yield Row("bare pipeline: CPU a picture", bare_ms, "ms")
    for kind, values in sorted(measured.cpu_ms.items()):
        yield Row(f"CPU a search at 64 in flight: {kind}", median(values), "ms")
    all_ms = sum(median(values) for values in measured.cpu_ms.values())
    yield report.at_most("CPU a search outside decode, embed, search", all_ms - bare_ms, "ms", CPU_GOAL_MS)


if __name__ == "__main__":
    main()
