"""On and under the water: sailing boats and fish."""

import math
import random
from collections.abc import Callable

from PIL import Image

from gallery.curation.demonstration.canvas import (
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
from gallery.curation.demonstration.landscapes import fair_cloud
from gallery.curation.demonstration.shapes import down_to, place, ridge, rolling, smooth


def sailing_boat(rng: random.Random, size: Size) -> Image.Image:
    """Boats under sail on a bright sea, a coast now and then behind them."""
    canvas = Canvas(size)
    hue, horizon = rng.uniform(190, 215), canvas.height * rng.uniform(0.5, 0.62)
    canvas.gradient((hsv(hue, 0.5, 0.95), hsv(hue, 0.15, 1)), 0, horizon)
    for _ in range(rng.randint(1, 4)):
        fair_cloud(canvas, rng, (canvas.width * rng.random(), horizon * rng.uniform(0.2, 0.8)))
    if rng.random() < 0.5:
        coast = ridge(rng, canvas.width, horizon + 2, canvas.unit * 0.08, rough=0.45)
        canvas.polygon(down_to([(x, min(y, horizon)) for x, y in coast], horizon + 2), hsv(hue - 50, 0.3, 0.62))
    sea = rng.uniform(185, 215)
    canvas.gradient((hsv(sea, 0.45, 0.85), hsv(sea, 0.75, 0.62), hsv(sea + 8, 0.85, 0.4)), horizon)
    _ripples(canvas, rng, horizon, hsv(sea, 0.3, 0.97))
    count = rng.choice((1, 1, 1, 2, 3))
    for i in range(count):
        share = (i + 0.5) / count + rng.uniform(-0.1, 0.1) / count
        high = canvas.unit * (rng.uniform(0.5, 0.62) if i == count // 2 else rng.uniform(0.22, 0.34))
        _boat(canvas, rng, (canvas.width * share, horizon + high * rng.uniform(0.3, 0.4)), high)
    return canvas.image


def _ripples(canvas: Canvas, rng: random.Random, top: float, colour: Colour) -> None:
    for _ in range(130):
        near = rng.random() ** 1.3
        at = (canvas.width * rng.random(), top + (canvas.height - top) * near)
        long = canvas.unit * rng.uniform(0.01, 0.05) * (0.5 + near)
        canvas.ellipse(at, long, colour, ry=canvas.unit * 0.0035 * (0.5 + near), opacity=rng.uniform(0.2, 0.6))


def _boat(canvas: Canvas, rng: random.Random, at: Point, high: float) -> None:
    """`at` is the middle of the hull at the water; `high` is the mast's height."""
    flip, heel = rng.random() < 0.5, rng.uniform(-5, 5)
    hull, cloth = any_colour(rng, (0.4, 0.85), (0.35, 0.8)), _cloth(rng)

    def put(points: list[Point]) -> list[Point]:
        return place(points, at, high, heel, flip=flip)

    canvas.glow((at[0], at[1] + high * 0.16), high * 0.5, cloth, ry=high * 0.14, strength=0.6)
    canvas.line(put([(0.02, -0.05), (0.02, -1)]), (120, 90, 60), high * 0.018)
    main = put([(0, -0.98), (-0.12, -0.7), (-0.26, -0.42), (-0.36, -0.16), (0, -0.16)])
    jib = put([(0.045, -0.9), (0.42, -0.12), (0.2, -0.15), (0.06, -0.16)])
    canvas.fill(main, (lighter(cloth, 0.25), darker(cloth, 0.16)), sideways=True)
    second = rng.choice((cloth, WHITE, hsv(rng.uniform(0, 360), 0.7, 0.9)))
    canvas.fill(jib, (lighter(second, 0.3), darker(second, 0.2)), sideways=True)
    if rng.random() < 0.5:
        stripe = put([(-0.19, -0.56), (0, -0.56), (0, -0.47), (-0.235, -0.47)])
        canvas.polygon(stripe, darker(hull, 0.05))
    shell = put([(-0.42, -0.11), (0.5, -0.12), (0.4, -0.02), (0.32, 0.03), (-0.34, 0.03), (-0.39, -0.03)])
    canvas.fill(shell, (lighter(hull, 0.2), darker(hull, 0.35)))
    canvas.line(put([(-0.42, -0.11), (0.5, -0.12)]), lighter(hull, 0.75), high * 0.02)
    for _ in range(9):
        foam = (at[0] + high * rng.uniform(-0.5, 0.5), at[1] + high * rng.uniform(0.02, 0.05))
        canvas.ellipse(foam, high * rng.uniform(0.04, 0.1), WHITE, ry=high * 0.01, opacity=0.75)


def _cloth(rng: random.Random) -> Colour:
    return rng.choice((WHITE, (250, 244, 228), (250, 240, 240), hsv(rng.uniform(0, 360), rng.uniform(0.45, 0.8), 0.95)))


def fish(rng: random.Random, size: Size) -> Image.Image:
    """Striped or spotted fish over a sandy bottom with weeds."""
    canvas = Canvas(size)
    hue = rng.uniform(172, 222)
    canvas.gradient((hsv(hue, 0.55, 0.92), hsv(hue + 5, 0.8, 0.7), hsv(hue + 15, 0.9, 0.38)))
    _rays(canvas, rng, hsv(hue - 10, 0.2, 1))
    sand = rolling(rng, canvas.width, canvas.height * 0.9, canvas.unit * 0.03)
    canvas.fill(down_to(sand, canvas.height), (hsv(42, 0.35, 0.85), hsv(36, 0.45, 0.6)))
    for _ in range(rng.randint(3, 9)):
        _weed(canvas, rng, (canvas.width * rng.random(), canvas.height * rng.uniform(0.92, 1)))
    count, tint = rng.choice((1, 1, 2, 3, 5)), rng.choice((12, 24, 38, 48, 345, 300, 265, hue))
    for i in range(count):
        across = (i + 0.5) / count + rng.uniform(-0.1, 0.1) / count
        at = (
            canvas.width * across,
            canvas.height * rng.uniform(0.36, 0.56) if count == 1 else canvas.height * rng.uniform(0.2, 0.7),
        )
        long = min(canvas.unit * 0.66, canvas.width / count**0.8 * 0.62) * rng.uniform(0.8, 1.05)
        _one_fish(canvas, rng, at, long, tint + rng.uniform(-25, 25))
    for _ in range(rng.randint(6, 26)):
        bubble = (canvas.width * rng.random(), canvas.height * rng.uniform(0, 0.85))
        r = canvas.unit * rng.uniform(0.005, 0.02)
        canvas.ellipse(bubble, r, WHITE, opacity=0.25)
        canvas.ring(bubble, r, r * 0.2, hsv(hue, 0.15, 1))
    return canvas.image


def _rays(canvas: Canvas, rng: random.Random, colour: Colour) -> None:
    for _ in range(5):
        x, wide = canvas.width * rng.uniform(-0.1, 1), canvas.width * rng.uniform(0.03, 0.1)
        slant = canvas.width * rng.uniform(0.1, 0.3)
        foot = canvas.height * rng.uniform(0.6, 0.95)
        canvas.polygon([(x, 0), (x + wide, 0), (x + wide * 2 + slant, foot), (x + slant, foot)], colour, 0.12)


def _weed(canvas: Canvas, rng: random.Random, root: Point) -> None:
    colour = hsv(rng.choice((110, 130, 150, 340, 20)), rng.uniform(0.5, 0.8), rng.uniform(0.3, 0.6))
    high, sway, phase = canvas.unit * rng.uniform(0.12, 0.36), canvas.unit * rng.uniform(0.01, 0.03), rng.uniform(0, 6)
    for blade in (-1, 0, 1):
        spine = [
            (
                root[0] + blade * high * 0.12 * t + sway * math.sin(phase + 7 * t),
                root[1] - high * t * (1 - 0.2 * abs(blade)),
            )
            for t in (i / 14 for i in range(15))
        ]
        canvas.line(spine, lighter(colour, 0.12 * (blade + 1)), canvas.unit * 0.014)


def _one_fish(canvas: Canvas, rng: random.Random, at: Point, long: float, hue: float) -> None:
    """The body reaches from the tail at x = -0.36 to the mouth at 0.5, in lengths."""
    flip, nod, deep = rng.random() < 0.5, rng.uniform(-8, 8), rng.uniform(0.2, 0.32)
    body, mark = hsv(hue, rng.uniform(0.65, 0.9), 1), rng.choice((WHITE, WHITE, hsv(hue + 35, 0.75, 1), (34, 32, 60)))

    def half(t: float) -> float:
        return deep * math.sin(math.pi * min(1, t * 0.93 + 0.07) ** 0.8) + 0.012

    def put(points: list[Point]) -> list[Point]:
        return place(points, at, long, nod, flip=flip)

    def slab(start: float, end: float) -> list[Point]:
        """The part of the body from one share of its length, counted from the mouth, to another."""
        steps = [start + (end - start) * i / 20 for i in range(21)]
        return put([(0.5 - 0.86 * t, -half(t)) for t in steps] + [(0.5 - 0.86 * t, half(t)) for t in reversed(steps)])

    fin = mix(darker(body, 0.15), mark, 0.2)
    canvas.polygon(
        put(
            smooth(
                [(-0.3, 0), (-0.5, -deep * 1.0), (-0.56, -deep * 0.95), (-0.45, 0), (-0.56, deep * 0.95), (-0.5, deep)]
            )
        ),
        fin,
    )
    canvas.polygon(
        put(smooth([(0.18, -deep * 0.9), (-0.02, -deep * 1.5), (-0.24, -deep * 1.15), (-0.2, -deep * 0.5)])), fin
    )
    canvas.polygon(
        put(smooth([(0.08, deep * 0.8), (-0.06, deep * 1.4), (-0.2, deep * 1.05), (-0.16, deep * 0.5)])), fin
    )
    canvas.fill(slab(0, 1), (darker(body, 0.18), lighter(body, 0.1), lighter(body, 0.5)))
    _marks(canvas, rng, slab, put, mark, deep)
    canvas.polygon(put(smooth([(0.16, 0.02), (-0.02, -0.05), (-0.05, 0.06), (0.0, 0.12)])), darker(fin, 0.12))
    eye = put([(0.36, -deep * 0.22)])[0]
    canvas.ellipse(eye, long * 0.042, WHITE)
    canvas.ellipse(eye, long * 0.026, (16, 18, 30))
    canvas.ellipse((eye[0] - long * 0.008, eye[1] - long * 0.01), long * 0.008, WHITE)


def _marks(
    canvas: Canvas,
    rng: random.Random,
    slab: Callable[[float, float], list[Point]],
    put: Callable[[list[Point]], list[Point]],
    colour: Colour,
    deep: float,
) -> None:
    if rng.random() < 0.75:
        wide = rng.uniform(0.05, 0.09)
        for start in ((0.28, 0.5, 0.74), (0.26, 0.44, 0.62, 0.8), (0.32, 0.66))[rng.randrange(3)]:
            canvas.polygon(slab(start, start + wide), colour)
        return
    spots = [(rng.uniform(-0.2, 0.2), rng.uniform(-0.65, 0.5) * deep) for _ in range(16)]
    for at in put(spots):
        canvas.ellipse(at, canvas.unit * rng.uniform(0.006, 0.014), colour)
