"""Searches over HTTP against the classic design: `python -m bench.search [--quick] [--profile] [--photos DIR]`.

Measured in turns, five rounds: the bare pipeline (bench/pipeline.py), the classic design (bench/classic/) with one loop
and with a loop per core, and the product as `make run` starts it, polled as the page polls it. All have the same
model, photographs and gallery. At each load the product is compared with the better of the two classic ones.
`--profile` samples the product alone at 64 in flight instead: where does its CPU time go? (bench/profiling.py)
"""

import os
import sys
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from bench import photos, report, system
from bench.classic.server import Classic
from bench.load import Round, Visitor, drive
from bench.pipeline import Pipelines
from bench.profiling import Profile
from bench.report import Row, say
from bench.system import System

LARGE = "64 in flight, 12 megapixels"
LOADS = {"1 in flight": 1, "8 in flight": 8, "64 in flight": 64, LARGE: 64}
BARE, BARE_CPU = "bare pipeline", "bare pipeline: CPU a picture"
CPU = "CPU a search at 64 in flight: "  # and the kind of process
CPU_GOAL_MS, WEB_GOAL_MB, IDLE_GOAL_MB = 6.0, 80.0, 1200.0

Samples = defaultdict[str, list[float]]  # one of each round, by the name of the row, which has their median


@dataclass(frozen=True)
class Effort:
    """How thoroughly is measured: `searches` of one round at each of LOADS, `waiting`: how many at once in the end."""

    gallery: int
    queries: int
    large: int
    rounds: int
    searches: tuple[int, int, int, int]
    seconds: float
    waiting: int


FULL = Effort(1400, 320, 64, 5, (80, 320, 480, 192), 4, 1000)
QUICK = Effort(300, 160, 16, 2, (24, 96, 160, 64), 2, 300)


def profiled(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Sample the product at 64 in flight, yield what each kind of process and each function takes."""
    effort = QUICK if chosen.quick else FULL
    pictures = photos.split(directory / "photos", chosen.photos, effort.gallery, effort.queries)
    queries = photos.read(pictures.queries)
    say("starting the product, importing the gallery")
    with System(directory / "product", pictures.gallery) as product:
        drive(product.port, Visitor.search, queries[:64], 64)
        with Profile(product.pid, directory) as profile:
            for number in range(effort.rounds):
                say(f"round {number + 1} of {effort.rounds}")
                drive(product.port, Visitor.search, queries, 64)
        yield from profile.rows(effort.rounds * len(queries))


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Start everything, measure in turns, yield the figures."""
    effort, samples = QUICK if chosen.quick else FULL, Samples(list)
    say("scaling photographs up to 12 megapixels")
    pictures = photos.split(directory / "photos", chosen.photos, effort.gallery, effort.queries, effort.large)
    with ExitStack() as block:
        say("starting the product, importing the gallery")
        product = block.enter_context(System(directory / "product", pictures.gallery))
        idle_mb = system.pss_mb(product.pid)
        say("starting the classic design")
        classics = [
            block.enter_context(Classic(directory / f"classic-{loops}", pictures.gallery, loops))
            for loops in sorted({1, os.cpu_count() or 1})
        ]
        [index] = [path for path in (product.data_dir / "index").iterdir() if path.name.isdecimal()]
        bare = Pipelines(block, pictures.queries, index)
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            for name, value in zip((BARE, BARE_CPU), bare.run(effort.seconds), strict=True):
                samples[name].append(value)
            for (load, in_flight), searches in zip(LOADS.items(), effort.searches, strict=True):
                files = photos.read(pictures.large if load == LARGE else pictures.queries, searches)
                for classic in classics:
                    _keep(samples, f"{load}: {classic.name}", classic.drive(files, in_flight))
                _keep(samples, f"{load}: product", _ask(samples, product, load, files))
        say(f"{effort.waiting} uploads at once")
        many = photos.read(pictures.queries, effort.waiting)
        rival_s = min(classic.drive(many, effort.waiting).seconds for classic in classics)
        ours = drive(product.port, Visitor.search, many, effort.waiting)
        yield from _loads(samples, [classic.name for classic in classics])
        yield report.at_most(f"{effort.waiting} at once: uploads refused", ours.refused, "", 0)
        yield report.at_most(f"{effort.waiting} at once: lost", effort.waiting - len(ours.latencies), "", 0)
        yield report.at_most(f"{effort.waiting} at once: until the last result", ours.seconds, "s", 1.1, rival_s)
        yield from _cost(samples)
        yield report.at_most("memory of all processes, idle (sum of PSS)", sum(idle_mb.values()), "MB", IDLE_GOAL_MB)
        for kind, mb in sorted(idle_mb.items()):
            yield Row(f"memory, idle: {kind}", mb, "MB")
        web_mb = system.peak_mb(product.pid)["web"]
        yield report.at_most("peak memory of a web process", web_mb, "MB", WEB_GOAL_MB)


def _ask(samples: Samples, product: System, load: str, files: list[bytes]) -> Round:
    in_flight = LOADS[load]
    drive(product.port, Visitor.search, files[:in_flight], in_flight)
    before = system.cpu_s(product.pid)
    result = drive(product.port, Visitor.search, files, in_flight)
    if load == "64 in flight":
        for kind, spent_s in system.cpu_s(product.pid).items():
            samples[CPU + kind].append((spent_s - before.get(kind, 0.0)) / len(files) * 1e3)
    samples[f"{load}: polls a search"].append(result.polls / len(files))
    samples[f"{load}: uploads refused"].append(result.refused)
    return result


def _keep(samples: Samples, name: str, result: Round) -> None:
    samples[name].append(result.per_s)
    for percent in (50, 95):
        samples[f"{name}, p{percent}"].append(result.percentile_ms(percent))


def _loads(samples: Samples, classics: list[str]) -> Iterator[Row]:
    for load, in_flight in LOADS.items():
        if in_flight == 1:
            rival = min(median(samples[f"{load}: {name}, p50"]) for name in classics)
            ours = median(samples[f"{load}: product, p50"])
            yield report.at_most(f"{load}: upload to result, p50", ours, "ms", 1.5, rival)
        else:
            rival = max(median(samples[f"{load}: {name}"]) for name in classics)
            yield report.at_least(f"{load}: searches", median(samples[f"{load}: product"]), "/s", 1.0, rival)
        for name in (*classics, "product"):
            for figure, unit in (("", "/s"), (", p50", "ms"), (", p95", "ms")):
                yield Row(f"{load}: {name}{figure}", median(samples[f"{load}: {name}{figure}"]), unit)
        yield Row(f"{load}: polls a search", fmean(samples[f"{load}: polls a search"]), "")
        yield report.at_most(f"{load}: uploads refused", sum(samples[f"{load}: uploads refused"]), "", 0)
    ours = median(samples["64 in flight: product"])
    yield report.at_least("64 in flight: searches, to the bare pipeline", ours, "/s", 0.6, median(samples[BARE]))


def _cost(samples: Samples) -> Iterator[Row]:
    bare_ms = median(samples[BARE_CPU])
    yield Row(BARE_CPU, bare_ms, "ms")
    by_kind = {name: median(values) for name, values in sorted(samples.items()) if name.startswith(CPU)}
    for name, spent_ms in by_kind.items():
        yield Row(name, spent_ms, "ms")
    yield report.at_most(
        "CPU a search outside decode, embed, search", sum(by_kind.values()) - bare_ms, "ms", CPU_GOAL_MS
    )


if __name__ == "__main__":
    name, figures = ("profile", profiled) if "--profile" in sys.argv else ("search", measure)
    report.run(name, __doc__, figures, profile="where the product's CPU time goes, instead of the comparison")
