"""Outlines: lists of points for a canvas to fill."""

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from gallery.curation.demonstration.canvas import Point

Outline = list[Point]


def polar(centre: Point, radius: float, degrees: float, flat: float = 1) -> Point:
    """The point at that distance and angle (0 is to the right, 90 is down)."""
    angle = math.radians(degrees)
    return centre[0] + radius * math.cos(angle), centre[1] + radius * flat * math.sin(angle)


def place(points: Sequence[Point], at: Point, scale: float, degrees: float = 0, *, flip: bool = False) -> Outline:
    """Points drawn around 0, 0 and about 1 large: mirrored, turned, enlarged and moved, in this order."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    mirrored = ((-x if flip else x, y) for x, y in points)
    return [(at[0] + x * cos - y * sin, at[1] + x * sin + y * cos) for x, y in mirrored]


def oval(at: Point, rx: float, ry: float, degrees: float = 0, corners: int = 40) -> Outline:
    turns = (math.tau * i / corners for i in range(corners))
    return place([(rx * math.cos(turn), ry * math.sin(turn)) for turn in turns], at, 1, degrees)


def regular(at: Point, radius: float, corners: int, degrees: float = 0) -> Outline:
    return [polar(at, radius, degrees + 360 * i / corners) for i in range(corners)]


def leaf(root: Point, length: float, width: float, degrees: float, belly: float = 1) -> Outline:
    """A petal or leaf from its root outwards; a `belly` above 1 is thickest far out, below 1 near the root."""
    return spindle(lambda t: width / length / 2 * math.sin(math.pi * t**belly), root, length, degrees)


def petal(root: Point, length: float, width: float, degrees: float) -> Outline:
    """A petal: slender at its root, round at its far end."""
    return spindle(lambda t: width / length / 2 * math.sin(math.pi * t**1.6) ** 0.7, root, length, degrees)


def spindle(half: Callable[[float], float], root: Point, length: float, degrees: float) -> Outline:
    """A shape mirrored along its axis: `half(t)` is half its thickness at t, 0 to 1, in lengths."""
    upper = [(i / 24, -half(i / 24)) for i in range(25)]
    return place(upper + [(x, -y) for x, y in reversed(upper)], root, length, degrees)


def smooth(corners: Sequence[Point], steps: int = 8) -> Outline:
    """A closed curve through all corners (Catmull-Rom)."""
    n = len(corners)
    quads = ([corners[(i + k) % n] for k in (-1, 0, 1, 2)] for i in range(n))
    return [_between(quad, step / steps) for quad in quads for step in range(steps)]


def _between(quad: Sequence[Point], t: float) -> Point:
    x, y = (
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(*quad, strict=True)
    )
    return x, y


def ridge(rng: random.Random, width: float, base: float, rise: float, *, rough: float = 0.5) -> Outline:
    """A jagged line from the left edge to the right one, up to about `rise` above `base`."""
    heights = [rng.random(), rng.random(), rng.random(), rng.random(), rng.random()]
    swing = 0.6
    while len(heights) < 129:
        swing *= rough
        middles = [(a + b) / 2 + rng.uniform(-swing, swing) for a, b in pairwise(heights)]
        heights = [height for pair in zip(heights, middles, strict=False) for height in pair] + heights[-1:]
    step = width / (len(heights) - 1)
    return [(i * step, base - rise * height) for i, height in enumerate(heights)]


def rolling(rng: random.Random, width: float, base: float, rise: float) -> Outline:
    """A line of gentle hills from edge to edge."""
    waves = [(rng.uniform(0.4, 1.6), rng.uniform(0, math.tau)) for _ in range(3)]
    steps = (i / 60 for i in range(61))
    return [(t * width, base - rise * sum(math.sin(math.tau * f * t + p) for f, p in waves) / 3) for t in steps]


def down_to(line: Sequence[Point], bottom: float) -> Outline:
    """The area between a line and the bottom."""
    return [*line, (line[-1][0], bottom), (line[0][0], bottom)]
