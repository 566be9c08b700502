"""What a benchmark leaves behind: a table for people, `bench/out/<name>.json` for machines."""

import json
import os
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OUT = Path(__file__).parent / "out"
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"


def options(description: str | None, **flags: str) -> Namespace:
    """Return what was chosen on the command line: `photos`, `quick`, and `flags` with their help texts."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and rounds; a minute or two")
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser.parse_args()


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


def at_least(name: str, value: float, unit: str, goal: float) -> Row:
    """Return a row that must not be below `goal`."""
    return Row(name, value, unit, goal=f">= {goal:g}", met=value >= goal)


def at_most(name: str, value: float, unit: str, goal: float) -> Row:
    """Return a row that must not be above `goal`."""
    return Row(name, value, unit, goal=f"<= {goal:g}", met=value <= goal)


def against(name: str, value: float, rival: float, unit: str, goal: float | None) -> Row:
    """Return a row whose ratio to the rival must not be above `goal`, where there is one."""
    ratio = value / rival
    if goal is None:
        return Row(name, value, unit, rival, ratio)
    return Row(name, value, unit, rival, ratio, f"<= {goal:.3g} x rival", ratio <= goal)


def at_least_ratio(name: str, value: float, rival: float, goal: float) -> Row:
    """Return a row of a rate, whose ratio to the rival's must not be below `goal`."""
    return Row(name, value, "/s", rival, value / rival, f">= {goal:g} x rival", value / rival >= goal)


def machine() -> str:
    """Return the processor, its cores and the system, in words."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.machine()
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, load {load:.1f}"


def say(line: str) -> None:
    """Tell what a benchmark is doing."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def publish(name: str, rows: Sequence[Row]) -> None:
    """Print the table and write the file."""
    print(f"\n{machine()}\n")
    print(f"{'':58} {'value':>9} {'unit':12} {'rival':>9} {'ratio':>7}  {'goal':16} met")
    for row in rows:
        rival, ratio = (f"{number:.4g}" if number is not None else "" for number in (row.rival, row.ratio))
        met = {True: "yes", False: "NO", None: ""}[row.met]
        print(f"{row.name:58} {row.value:9.4g} {row.unit:12} {rival:>9} {ratio:>7}  {row.goal or '':16} {met}")
    OUT.mkdir(exist_ok=True)
    document = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (OUT / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
