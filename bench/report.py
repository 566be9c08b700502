"""What a benchmark leaves behind: a table for people, `bench/out/<name>.json` for machines."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OUT = Path(__file__).parent / "out"

Stacks = Mapping[str, Mapping[str, float]]  # of each stack, the ms of its stages from the bottom to the top


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


def against(name: str, value: float, rival: float, unit: str, goal: float | None = None) -> Row:
    """Return a row whose ratio to the rival must not be above `goal`, where there is one."""
    ratio = value / rival
    if goal is None:
        return Row(name, value, unit, rival, ratio)
    return Row(name, value, unit, rival, ratio, f"<= {goal:.3g} x rival", ratio <= goal)


def at_least_ratio(name: str, value: float, rival: float, goal: float | None) -> Row:
    """Return a row of a rate, whose ratio to the rival's must not be below `goal`, where there is one."""
    ratio = value / rival
    if goal is None:
        return Row(name, value, "/s", rival, ratio)
    return Row(name, value, "/s", rival, ratio, f">= {goal:g} x rival", ratio >= goal)


def machine() -> str:
    """Return the processor, its cores and the system, in words."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.machine()
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, load {load:.1f}"


def publish(name: str, rows: Sequence[Row], stacks_ms: Stacks | None = None) -> None:
    """Print the tables and write the file."""
    print(f"\n{machine()}\n")
    print(f"{'':58} {'value':>9} {'unit':12} {'rival':>9} {'ratio':>7}  {'goal':16} met")
    for row in rows:
        rival, ratio = (f"{number:.4g}" if number is not None else "" for number in (row.rival, row.ratio))
        met = {True: "yes", False: "NO", None: ""}[row.met]
        print(f"{row.name:58} {row.value:9.4g} {row.unit:12} {rival:>9} {ratio:>7}  {row.goal or '':16} {met}")
    if stacks_ms:
        show(stacks_ms)
    OUT.mkdir(exist_ok=True)
    document = {"machine": machine(), "rows": [asdict(row) for row in rows], "stacks_ms": stacks_ms or {}}
    (OUT / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def show(stacks_ms: Stacks) -> None:
    """Print stacks side by side: ms and share of each stage."""
    print(f"\n{'where the time goes, means':26}" + "".join(f"{name:>17}" for name in stacks_ms))
    print(" " * 26 + f"{'ms':>9}{'share':>8}" * len(stacks_ms))
    sums = [sum(stack.values()) for stack in stacks_ms.values()]
    for stage in next(iter(stacks_ms.values())):
        values = [stack[stage] for stack in stacks_ms.values()]
        parts = (f"{ms:9.1f}{ms / whole:8.1%}" for ms, whole in zip(values, sums, strict=True))
        print(f"{stage:26}" + "".join(parts))
    print(f"{'what a visitor waits':26}" + "".join(f"{whole:9.1f}{1:8.0%}" for whole in sums))
