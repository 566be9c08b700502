"""Bars and lines as numbers for plain SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 160  # of the drawing area, in units of the SVG
GAP = 0.25  # share of the width of a bar


@dataclass(frozen=True)
class Bar:
    """A bar from the bottom up; `label` is below it."""

    label: str
    value: int
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Return where its label is centred."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True)
class Line:
    """A line through points; `points` as SVG writes them."""

    points: str
    last: float


def bars(values: Sequence[tuple[str, int]]) -> list[Bar]:
    """Return the bars of a chart, left to right; the highest one takes the whole height."""
    most = max([value for _, value in values], default=0) or 1
    room = WIDTH / max(1, len(values))
    return [
        Bar(
            label,
            value,
            x=round(number * room + room * GAP / 2, 1),
            y=round(HEIGHT * (1 - value / most), 1),
            width=round(room * (1 - GAP), 1),
            height=round(HEIGHT * value / most, 1),
        )
        for number, (label, value) in enumerate(values)
    ]


def line(values: Sequence[float | None], most: float) -> Line | None:
    """Return a line over the bars' middles, without the places that have no value; None of no values."""
    room = WIDTH / max(1, len(values))
    points = [
        (round((number + 0.5) * room, 1), round(HEIGHT * (1 - value / most), 1))
        for number, value in enumerate(values)
        if value is not None
    ]
    if not points:
        return None
    if len(points) == 1:  # a line through one point is not drawn: one as wide as its bar is
        [(x, y)] = points
        half = room * (1 - GAP) / 2
        points = [(round(x - half, 1), y), (round(x + half, 1), y)]
    return Line(" ".join(f"{x},{y}" for x, y in points), points[-1][1])
