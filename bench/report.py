"""What a benchmark leaves behind: a table for people, `bench/out/<name>.json` for machines."""

import json
import os
import platform
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "bench" / "out"
PHOTOS = ROOT.parent / "shared" / "photos"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Row:
    """One figure: `rival`, the figure of the alternative in the same unit; `ratio`, ours to the rival's."""

    name: str
    value: float
    unit: str
    rival: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None


def at_least(name: str, value: float, unit: str, goal: float, rival: float | None = None) -> Row:
    """Return a row whose value, or ratio to the rival's, must not be below `goal`."""
    return _row(">=", name, value, unit, goal, rival)


def at_most(name: str, value: float, unit: str, goal: float | None, rival: float | None = None) -> Row:
    """Return a row whose value, or ratio to the rival's, must not be above `goal`, where there is one."""
    return _row("<=", name, value, unit, goal, rival)


def _row(sign: str, name: str, value: float, unit: str, goal: float | None, rival: float | None) -> Row:
    ratio = None if rival is None else value / rival
    if goal is None:
        return Row(name, value, unit, rival, ratio)
    compared = value if ratio is None else ratio
    text = f"{sign} {goal:g}" if rival is None else f"{sign} {goal:.3g} x rival"
    return Row(name, value, unit, rival, ratio, text, compared >= goal if sign == ">=" else compared <= goal)


def run(
    name: str,
    description: str | None,
    measure: Callable[[Path, Namespace], Iterable[Row]],
    *,
    count: int | None = None,
    folder: Path | None = None,
    one_thread: bool = False,
    **flags: str,
) -> None:
    """Read the command line, measure in a temporary folder (below `folder`), and publish the rows.

    The options are `photos`, `count` where a default is given, else `quick`, and `flags` with their help texts.
    """
    if one_thread and any(os.environ.get(variable) != value for variable, value in ONE_THREAD.items()):
        # The libraries read these when they are loaded, which has happened by now.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ONE_THREAD)
    parser = ArgumentParser(description=description)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    if count:
        parser.add_argument("--count", type=int, default=count, help="pictures of the gallery")
    else:
        parser.add_argument("--quick", action="store_true", help="fewer pictures and rounds; a minute or two")
    for flag, text in flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    chosen = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-", dir=folder) as directory:
        publish(name, list(measure(Path(directory), chosen)))


def publish(name: str, rows: Iterable[Row]) -> None:
    """Print the table and write the file."""
    print(f"\n{machine()}\n")
    print(f"{'':58} {'value':>9} {'unit':12} {'rival':>9} {'ratio':>7}  {'goal':16} met")
    for row in rows:
        rival, ratio = (f"{number:.4g}" if number is not None else "" for number in (row.rival, row.ratio))
        met = {True: "yes", False: "NO", None: ""}[row.met]
        print(f"{row.name:58} {row.value:9.4g} {row.unit:12} {rival:>9} {ratio:>7}  {row.goal or '':16} {met}")
    document = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (OUT / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def machine() -> str:
    """Return the processor, its cores and the system, in words."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.machine()
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, load {load:.1f}"


def say(line: str) -> None:
    """Tell what a benchmark is doing."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def p50_ms(
    alternatives: Mapping[str, Callable[[int], object]], per_turn: int, queries: int, turns: int = 5
) -> dict[str, float]:
    """Return the median time of each in milliseconds, measured in turns after a round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in alternatives}
    for turn in range(turns + 1):
        for name, search in alternatives.items():
            for number in range(per_turn):
                query = (turn * per_turn + number) % queries
                started = time.perf_counter()
                search(query)
                if turn:
                    taken[name].append(time.perf_counter() - started)
    return {name: median(seconds) * 1e3 for name, seconds in taken.items()}
