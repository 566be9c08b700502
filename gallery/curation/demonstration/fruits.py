"""Fruit on a table, some of it in a bowl."""

import math
import random

from PIL import Image

from gallery.curation.demonstration.canvas import WHITE, Canvas, Point, Size, any_colour, darker, hsv, lighter
from gallery.curation.demonstration.shapes import leaf, polar, regular, smooth


def fruit(rng: random.Random, size: Size) -> Image.Image:
    """Apples, oranges, lemons, plums or pears on a cloth, some in a bowl."""
    canvas = Canvas(size)
    edge = canvas.height * rng.uniform(0.4, 0.52)
    back = any_colour(rng, (0.1, 0.35), (0.45, 0.8))
    cloth = hsv(rng.uniform(20, 60), 0.14, 0.96)
    canvas.gradient((darker(back, 0.15), lighter(back, 0.15)), 0, edge)
    canvas.gradient((darker(cloth, 0.1), cloth), edge)
    sorts = rng.sample((_apple, _orange, _lemon, _plum, _pear), rng.choice((1, 2, 3, 4)))
    count = rng.choice((1, 3, 4, 5, 5, 6))
    radius = canvas.unit * (0.31 if count == 1 else rng.uniform(0.145, 0.175))
    middle, floor = canvas.width / 2, canvas.height * (0.88 if count == 1 else 0.8)
    back_row = count // 2 if count > 3 else 0
    for row, many in ((0, back_row), (1, count - back_row)):
        for i in range(many):
            x = middle + (i - (many - 1) / 2) * radius * 1.86 + rng.uniform(-0.08, 0.08) * radius
            at = (x, floor - radius - (1 - row) * radius * 0.95)
            canvas.glow(
                (x + radius * 0.3, at[1] + radius * 0.86), radius * 1.5, (40, 24, 16), ry=radius * 0.42, strength=0.85
            )
            rng.choice(sorts)(canvas, rng, at, radius * rng.uniform(0.92, 1.05))
    if count > 3 and rng.random() < 0.6:
        _bowl(canvas, rng, (middle, floor - radius * 0.95), radius * (count - back_row) * 1.1)
    return canvas.image


def _bowl(canvas: Canvas, rng: random.Random, at: Point, wide: float) -> None:
    """`at` is the middle of its brim, over what lies in it."""
    colour, deep = any_colour(rng, (0.15, 0.65), (0.55, 0.92)), canvas.unit * 0.27
    arc = [polar(at, wide, 180 - 5 * i, deep / wide) for i in range(37)]
    foot = [(x, min(y, at[1] + deep * 0.93)) for x, y in arc]
    canvas.fill(foot, (darker(colour, 0.2), lighter(colour, 0.25), colour, darker(colour, 0.4)), sideways=True)
    canvas.line([foot[0], foot[-1]], lighter(colour, 0.5), canvas.unit * 0.02)
    if rng.random() < 0.6:
        belt = [(x, y) for x, y in foot if at[1] + deep * 0.3 < y < at[1] + deep * 0.56]
        canvas.polygon(belt, darker(colour, 0.35), 0.5)


def _apple(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    canvas.ball(
        at,
        radius,
        rng.choice(((206, 34, 40), (224, 60, 48), (150, 190, 56), (232, 180, 60))),
        ry=radius * 0.93,
        shine=0.5,
    )
    dip = (at[0], at[1] - radius * 0.72)
    canvas.ellipse(dip, radius * 0.3, (70, 40, 20), ry=radius * 0.1, opacity=0.45)
    canvas.line([dip, (at[0] + radius * 0.1, at[1] - radius * 1.12)], (92, 60, 34), radius * 0.07)
    blade = leaf((dip[0] + radius * 0.05, dip[1] - radius * 0.12), radius * 0.62, radius * 0.28, rng.uniform(-50, -10))
    canvas.fill(blade, ((120, 180, 70), (60, 120, 50)))


def _orange(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    colour = hsv(rng.uniform(24, 34), 0.9, 0.98)
    canvas.ball(at, radius, colour, shine=0.45)
    for _ in range(60):
        pore = polar(at, radius * 0.9 * rng.random() ** 0.5, rng.uniform(0, 360))
        canvas.ellipse(pore, radius * 0.014, darker(colour, 0.2), opacity=0.5)
    canvas.polygon(regular((at[0] + radius * 0.1, at[1] - radius * 0.8), radius * 0.09, 5), (90, 120, 50))


def _lemon(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    colour, low = hsv(rng.uniform(50, 58), 0.8, 0.98), at[1] + radius * 0.22
    for side in (-1, 1):
        canvas.ball((at[0] + side * radius * 0.98, low), radius * 0.2, darker(colour, 0.1), shine=0.3)
    canvas.ball((at[0], low), radius * 1.02, colour, ry=radius * 0.76, shine=0.6)


def _plum(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    colour = hsv(rng.uniform(265, 310), 0.6, 0.5)
    canvas.ball((at[0], at[1] + radius * 0.12), radius * 0.88, colour, shine=0.5)
    crease = [
        (at[0] + radius * (0.1 + 0.22 * math.sin(math.pi * t)), at[1] + radius * (1.5 * t - 0.66))
        for t in (i / 10 for i in range(11))
    ]
    canvas.line(crease, darker(colour, 0.35), radius * 0.03)
    canvas.line([crease[0], (at[0] + radius * 0.16, at[1] - radius * 0.95)], (92, 60, 34), radius * 0.06)


def _pear(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    colour = hsv(rng.uniform(52, 78), 0.65, 0.86)
    (x, y), r = at, radius
    right = [(0, -1.35), (0.24, -1.25), (0.36, -0.85), (0.52, -0.4), (0.82, 0.05), (0.9, 0.45), (0.62, 0.9), (0, 0.97)]
    edge = smooth(
        [(x + r * a, y + r * b) for a, b in right] + [(x - r * a, y + r * b) for a, b in reversed(right[1:-1])]
    )
    canvas.fill(edge, (colour, lighter(colour, 0.3), colour, darker(colour, 0.4)), sideways=True)
    canvas.glow((x - r * 0.3, y + r * 0.25), r * 0.5, WHITE, strength=0.6)
    canvas.line([(x, y - r * 1.3), (x + r * 0.14, y - r * 1.62)], (92, 60, 34), r * 0.07)
