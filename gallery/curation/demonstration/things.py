"""On the table and on the wall: cups, clocks, mosaics."""

import math
import random

from PIL import Image

from gallery.curation.demonstration.canvas import (
    BLACK,
    WHITE,
    Canvas,
    Colour,
    Point,
    Size,
    any_colour,
    darker,
    hsv,
    lighter,
    mix,
)
from gallery.curation.demonstration.shapes import polar, regular


def cup(rng: random.Random, size: Size) -> Image.Image:
    """A steaming cup of coffee or tea on a table."""
    canvas = Canvas(size)
    edge = canvas.height * rng.uniform(0.52, 0.64)
    _room(canvas, rng, edge)
    wide = canvas.unit * rng.uniform(0.2, 0.29)
    high, foot_share = wide * rng.uniform(1.15, 1.75), rng.uniform(0.55, 0.92)
    at = (canvas.width * rng.uniform(0.4, 0.6), canvas.height * 0.84)
    colour = rng.choice((WHITE, (245, 240, 230), any_colour(rng, (0.35, 0.75), (0.55, 0.95))))
    canvas.glow((at[0] + wide * 0.3, at[1] + wide * 0.1), wide * 2.3, (30, 16, 8), ry=wide * 0.6, strength=0.9)
    if rng.random() < 0.7:
        for drop, tint in ((0.05, darker(colour, 0.25)), (0.0, lighter(colour, 0.15)), (-0.02, darker(colour, 0.08))):
            reach = wide * (1.7 if drop >= 0 else 1.15)
            canvas.ellipse((at[0], at[1] + wide * drop), reach, tint, ry=reach * 0.26)
    _handle(canvas, at, wide, high, colour, rng.choice((-1, 1)))
    _vessel(canvas, rng, at, wide, high, foot_share, colour)
    for _ in range(rng.randint(1, 3)):
        _steam(canvas, rng, (at[0] + wide * rng.uniform(-0.4, 0.4), at[1] - high))
    return canvas.image


def _room(canvas: Canvas, rng: random.Random, edge: float) -> None:
    """A wall, plain or striped, above a wooden table."""
    wall = any_colour(rng, (0.12, 0.4), (0.55, 0.9))
    wood = hsv(rng.uniform(16, 36), rng.uniform(0.4, 0.65), rng.uniform(0.4, 0.75))
    canvas.gradient((lighter(wall, 0.2), darker(wall, 0.1)), 0, edge)
    if rng.random() < 0.4:
        step = canvas.unit * rng.uniform(0.08, 0.16)
        for i in range(0, math.ceil(canvas.width / step), 2):
            canvas.rectangle((i * step, 0), ((i + 1) * step, edge), WHITE, opacity=0.14)
    canvas.gradient((lighter(wood, 0.2), wood, darker(wood, 0.25)), edge)
    for _ in range(26):
        grain = (canvas.width * rng.random(), edge + (canvas.height - edge) * rng.random())
        canvas.ellipse(
            grain, canvas.width * rng.uniform(0.1, 0.3), darker(wood, 0.3), ry=canvas.unit * 0.003, opacity=0.25
        )


def _handle(canvas: Canvas, at: Point, wide: float, high: float, colour: Colour, side: int) -> None:
    middle = (at[0] + side * wide * 0.95, at[1] - high * 0.52)
    for tint, inset in ((darker(colour, 0.3), 0.0), (darker(colour, 0.08), wide * 0.02)):
        canvas.ring(middle, wide * 0.5 - inset, wide * 0.15 - inset, tint, 1.05)


def _vessel(
    canvas: Canvas, rng: random.Random, at: Point, wide: float, high: float, narrow: float, colour: Colour
) -> None:
    (x, y), rim = at, (at[0], at[1] - high)
    shades = (darker(colour, 0.3), lighter(colour, 0.15), colour, darker(colour, 0.4))

    def half(t: float) -> float:
        """Half the width at t from 0 (rim) to 1 (foot)."""
        return wide * (narrow + (1 - narrow) * (1 - math.pow(t, 2.2)))

    def belt(start: float, end: float) -> list[Point]:
        steps = [start + (end - start) * i / 12 for i in range(13)]
        sag = [((i - 8) / 8, wide * 0.24 * math.sqrt(1 - ((i - 8) / 8) ** 2)) for i in range(17)]
        upper = [(x - half(start) * s, y - high * (1 - start) + d) for s, d in sag]
        lower = [(x + half(end) * s, y - high * (1 - end) + d * half(end) / wide) for s, d in sag]
        left = [(x - half(t), y - high * (1 - t)) for t in steps]
        return upper + left + lower + [(2 * x - a, b) for a, b in reversed(left)]

    canvas.fill(belt(0, 1), shades, sideways=True)
    band = hsv(rng.uniform(0, 360), 0.65, 0.75)
    tones = (darker(band, 0.3), lighter(band, 0.1), band, darker(band, 0.4))
    for start, end in rng.choice(((), ((0.35, 0.6),), ((0.2, 0.28), (0.7, 0.78)), ((0.5, 1.0),))):
        canvas.fill(belt(start, end), tones, sideways=True)
    canvas.ellipse(rim, wide, lighter(colour, 0.35), ry=wide * 0.25)
    canvas.ellipse(rim, wide * 0.93, darker(colour, 0.35), ry=wide * 0.21)
    drink = rng.choice(((74, 44, 26), (120, 76, 42), (176, 92, 30), (150, 150, 60)))
    canvas.ellipse((x, rim[1] + wide * 0.035), wide * 0.88, drink, ry=wide * 0.175)
    canvas.ellipse((x - wide * 0.2, rim[1] + wide * 0.03), wide * 0.42, lighter(drink, 0.25), ry=wide * 0.07)


def _steam(canvas: Canvas, rng: random.Random, at: Point) -> None:
    phase, high = rng.uniform(0, 6), canvas.unit * rng.uniform(0.2, 0.32)
    for i in range(22):
        t = i / 22
        puff = (at[0] + canvas.unit * 0.035 * math.sin(phase + 5 * t), at[1] - high * t)
        canvas.glow(puff, canvas.unit * (0.02 + 0.035 * t), WHITE, strength=0.3 * (1 - t))


def clock(rng: random.Random, size: Size) -> Image.Image:
    """A clock on a wall, each at its own time."""
    canvas = Canvas(size)
    wall = any_colour(rng, (0.15, 0.5), (0.5, 0.92))
    canvas.gradient((lighter(wall, 0.12), darker(wall, 0.15)))
    if rng.random() < 0.5:
        _bricks(canvas, darker(wall, 0.2))
    at = (canvas.width * rng.uniform(0.42, 0.58), canvas.height * rng.uniform(0.46, 0.54))
    radius = canvas.unit * rng.uniform(0.32, 0.43)
    frame = rng.choice(
        ((40, 40, 46), (150, 96, 52), (214, 178, 84), (190, 196, 204), any_colour(rng, (0.7, 0.7), (0.7, 0.7)))
    )
    face = (252, 249, 240)
    if rng.random() < 0.25:
        frame, face = (206, 168, 80), hsv(rng.uniform(200, 360), 0.55, 0.25)
    canvas.glow((at[0] + radius * 0.08, at[1] + radius * 0.14), radius * 1.3, BLACK, strength=0.9)
    canvas.ball(at, radius, frame, shine=0.4)
    canvas.ellipse(at, radius * 0.89, darker(face, 0.25))
    canvas.ellipse((at[0] + radius * 0.01, at[1] + radius * 0.015), radius * 0.875, face)
    ink = (34, 32, 38) if sum(face) > 380 else (240, 224, 180)
    _ticks(canvas, rng, at, radius, ink)
    _hands(canvas, rng, at, radius, ink)
    return canvas.image


def _bricks(canvas: Canvas, joint: Colour) -> None:
    row = canvas.unit * 0.085
    for i in range(math.ceil(canvas.height / row)):
        canvas.line([(0, i * row), (canvas.width, i * row)], joint, canvas.unit * 0.006, 0.6)
        for j in range(math.ceil(canvas.width / row / 2.2) + 1):
            x = (j + 0.5 * (i % 2)) * row * 2.2
            canvas.line([(x, i * row), (x, (i + 1) * row)], joint, canvas.unit * 0.006, 0.6)


def _ticks(canvas: Canvas, rng: random.Random, at: Point, radius: float, ink: Colour) -> None:
    dots, minutes = rng.random() < 0.3, rng.random() < 0.6
    for i in range(60):
        if i % 5 == 0 and dots:
            canvas.ellipse(polar(at, radius * 0.74, i * 6), radius * (0.05 if i % 15 == 0 else 0.035), ink)
        elif i % 5 == 0:
            start = 0.62 if i % 15 == 0 else 0.69
            canvas.line([polar(at, radius * start, i * 6), polar(at, radius * 0.79, i * 6)], ink, radius * 0.05)
        elif minutes:
            canvas.line([polar(at, radius * 0.76, i * 6), polar(at, radius * 0.79, i * 6)], ink, radius * 0.014)


def _hands(canvas: Canvas, rng: random.Random, at: Point, radius: float, ink: Colour) -> None:
    minute = rng.randrange(60)
    for degrees, reach, thick in ((rng.randrange(12) * 30 + minute / 2, 0.46, 0.07), (minute * 6, 0.7, 0.045)):
        canvas.line(
            [polar(at, radius * 0.1, degrees + 90), polar(at, radius * reach, degrees - 90)], ink, radius * thick
        )
    second, red = rng.randrange(60) * 6, (214, 52, 44)
    canvas.line([polar(at, radius * 0.18, second + 180), polar(at, radius * 0.74, second)], red, radius * 0.018)
    canvas.ellipse(at, radius * 0.06, red)


def mosaic(rng: random.Random, size: Size) -> Image.Image:
    """Tiles from a few colours, square, six-sided, three-sided or round."""
    canvas = Canvas(size)
    hue, spread = rng.uniform(0, 360), rng.choice((25, 60, 120, 180))
    colours = [hsv(hue + rng.uniform(-spread, spread), rng.uniform(0.35, 0.85), rng.uniform(0.5, 1)) for _ in range(6)]
    grout = rng.choice(((240, 236, 226), (52, 50, 58), (250, 250, 250)))
    canvas.gradient((grout, grout))
    side = canvas.unit / rng.choice((5, 6, 7, 9))
    tile = rng.choice((_squares, _squares, _hexagons, _triangles, _quarters))
    tile(canvas, rng, side, [*colours, mix(colours[0], WHITE, 0.6)])
    return canvas.image


def _squares(canvas: Canvas, rng: random.Random, side: float, colours: list[Colour]) -> None:
    gap = side * 0.05
    for row in range(math.ceil(canvas.height / side)):
        for column in range(math.ceil(canvas.width / side)):
            x, y = column * side, row * side
            ground, figure = rng.sample(colours, 2)
            canvas.rectangle((x + gap, y + gap), (x + side - gap, y + side - gap), ground, radius=side * 0.06)
            if rng.random() < 0.5:
                canvas.polygon(regular((x + side / 2, y + side / 2), side * 0.36, 4), figure)


def _hexagons(canvas: Canvas, rng: random.Random, side: float, colours: list[Colour]) -> None:
    radius = side * 0.62
    for row in range(math.ceil(canvas.height / radius / 1.5) + 1):
        for column in range(math.ceil(canvas.width / radius / 1.73) + 1):
            at = ((column + 0.5 * (row % 2)) * radius * 1.732, row * radius * 1.5)
            ground, figure = rng.sample(colours, 2)
            canvas.polygon(regular(at, radius * 0.94, 6, 30), ground)
            if rng.random() < 0.3:
                canvas.polygon(regular(at, radius * 0.5, 6, 30), figure)


def _triangles(canvas: Canvas, rng: random.Random, side: float, colours: list[Colour]) -> None:
    for row in range(math.ceil(canvas.height / side)):
        for column in range(math.ceil(canvas.width / side)):
            x, y, g = column * side, row * side, side * 0.04
            a, b, c, d = (x + g, y + g), (x + side - g, y + g), (x + side - g, y + side - g), (x + g, y + side - g)
            halves = ((a, b, c), (a, c, d)) if rng.random() < 0.5 else ((a, b, d), (b, c, d))
            for half in halves:
                canvas.polygon(half, rng.choice(colours))


def _quarters(canvas: Canvas, rng: random.Random, side: float, colours: list[Colour]) -> None:
    for row in range(math.ceil(canvas.height / side)):
        for column in range(math.ceil(canvas.width / side)):
            x, y, start = column * side, row * side, rng.randrange(4) * 90
            ground, figure = rng.sample(colours, 2)
            canvas.rectangle((x, y), (x + side, y + side), ground)
            corner = (x + side * (start in (90, 180)), y + side * (start in (180, 270)))
            for reach, tint in ((0.95, figure), (0.5, lighter(ground, 0.3))):
                arc = [polar(corner, side * reach, start + 90 * i / 12) for i in range(13)]
                canvas.polygon([corner, *arc], tint)
