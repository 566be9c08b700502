"""A house and its garden."""

import math
import random

from PIL import Image

from gallery.curation.demonstration.canvas import WHITE, Canvas, Colour, Point, Size, darker, hsv, lighter
from gallery.curation.demonstration.landscapes import fair_cloud
from gallery.curation.demonstration.shapes import down_to, rolling


def house(rng: random.Random, size: Size) -> Image.Image:
    """A house with a gable roof, its garden and a clear sky."""
    canvas = Canvas(size)
    sky = rng.uniform(190, 220)
    canvas.gradient((hsv(sky, 0.45, 0.96), hsv(sky, 0.1, 1)))
    for _ in range(rng.randint(1, 3)):
        fair_cloud(canvas, rng, (canvas.width * rng.random(), canvas.height * rng.uniform(0.1, 0.35)))
    ground, lawn = canvas.height * rng.uniform(0.78, 0.85), rng.uniform(80, 125)
    hill = rolling(rng, canvas.width, ground - canvas.unit * 0.06, canvas.unit * 0.04)
    canvas.fill(down_to(hill, canvas.height), (hsv(lawn, 0.4, 0.75), hsv(lawn, 0.6, 0.5)))
    wide = min(canvas.width * 0.62, canvas.unit * rng.uniform(0.62, 0.9))
    left = (canvas.width - wide) * rng.uniform(0.3, 0.7)
    _bushes(canvas, rng, ground - canvas.unit * 0.02, lawn)
    _front(canvas, rng, (left, ground), wide, canvas.unit * rng.uniform(0.24, 0.36))
    canvas.gradient((hsv(lawn, 0.5, 0.68), hsv(lawn, 0.65, 0.42)), ground)
    path, middle = hsv(35, 0.2, 0.85), left + wide / 2
    canvas.polygon(
        [
            (middle - wide * 0.07, ground),
            (middle + wide * 0.07, ground),
            (middle + wide * 0.2, canvas.height),
            (middle - wide * 0.12, canvas.height),
        ],
        path,
    )
    if rng.random() < 0.5:
        _fence(canvas, ground + canvas.unit * 0.06)
    return canvas.image


def _bushes(canvas: Canvas, rng: random.Random, ground: float, hue: float) -> None:
    for _ in range(rng.randint(2, 6)):
        x, r = canvas.width * rng.random(), canvas.unit * rng.uniform(0.06, 0.16)
        canvas.rectangle((x - r * 0.1, ground - r), (x + r * 0.1, ground + r * 0.4), (98, 70, 50))
        canvas.ball(
            (x, ground - r * 1.2),
            r,
            hsv(hue + rng.uniform(-10, 30), 0.55, 0.55),
            ry=r * rng.uniform(1, 1.5),
            shine=0.25,
        )


def _front(canvas: Canvas, rng: random.Random, foot: Point, wide: float, high: float) -> None:
    """The front wall, its roof, door and windows; `foot` is the lower left corner."""
    (left, ground), right, top = foot, foot[0] + wide, foot[1] - high
    wall = rng.choice(
        (
            (250, 244, 230),
            (246, 214, 160),
            (226, 140, 112),
            (190, 214, 226),
            (240, 190, 190),
            (214, 226, 184),
            (250, 226, 120),
        )
    )
    roof = hsv(rng.choice((8, 14, 20, 215, 350, 150)), rng.uniform(0.35, 0.7), rng.uniform(0.35, 0.65))
    trim = hsv(rng.uniform(0, 360), 0.6, 0.5)
    rise, eave = wide * rng.uniform(0.3, 0.46), wide * 0.07
    flue = left + wide * rng.choice((0.2, 0.68))
    canvas.rectangle((flue, top - rise * 0.95), (flue + wide * 0.09, top), darker((190, 90, 70), 0.1))
    canvas.fill([(left, top), (right, top), (right, ground), (left, ground)], (wall, darker(wall, 0.12)))
    if rng.random() < 0.5:
        gable = [(left - eave, top), (left + wide / 2, top - rise), (right + eave, top)]
    else:
        gable = [
            (left - eave, top),
            (left + wide * 0.16, top - rise * 0.8),
            (right - wide * 0.16, top - rise * 0.8),
            (right + eave, top),
        ]
    canvas.fill(gable, (lighter(roof, 0.15), darker(roof, 0.2)))
    canvas.line([gable[0], gable[-1]], darker(roof, 0.45), wide * 0.02)
    _window(canvas, (left + wide / 2, top - rise * 0.36), wide * 0.1, trim)
    door = left + wide * 0.5
    canvas.rectangle(
        (door - wide * 0.075, ground - high * 0.72), (door + wide * 0.075, ground), trim, radius=wide * 0.02
    )
    canvas.ellipse((door + wide * 0.045, ground - high * 0.34), wide * 0.01, (250, 220, 120))
    for share in (0.2, 0.8) if wide < high * 2.6 else (0.14, 0.32, 0.68, 0.86):
        _window(canvas, (left + wide * share, ground - high * 0.52), min(wide * 0.15, high * 0.4), trim)


def _window(canvas: Canvas, at: Point, side: float, trim: Colour) -> None:
    (x, y), half = at, side / 2
    for shutter in (-1, 1):
        canvas.rectangle(
            (x + shutter * half * 1.45 - half * 0.35, y - half),
            (x + shutter * half * 1.45 + half * 0.35, y + half),
            trim,
        )
    canvas.rectangle((x - half * 1.1, y - half * 1.1), (x + half * 1.1, y + half * 1.1), WHITE)
    canvas.fill(
        [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)],
        ((120, 170, 205), (205, 232, 245)),
    )
    for bar in ([(x, y - half), (x, y + half)], [(x - half, y), (x + half, y)]):
        canvas.line(bar, WHITE, side * 0.08)


def _fence(canvas: Canvas, y: float) -> None:
    step, high = canvas.unit * 0.055, canvas.unit * 0.12
    for rail in (0.3, 0.7):
        canvas.rectangle((0, y + high * rail), (canvas.width, y + high * (rail + 0.1)), (238, 236, 230))
    for i in range(math.ceil(canvas.width / step)):
        x = i * step
        canvas.polygon(
            [
                (x, y + high),
                (x, y + high * 0.15),
                (x + step * 0.28, y),
                (x + step * 0.56, y + high * 0.15),
                (x + step * 0.56, y + high),
            ],
            WHITE,
        )
