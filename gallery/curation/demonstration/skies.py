"""By night and in the air: a city's lights, a planet among stars, hot-air balloons."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw

from gallery.curation.demonstration.canvas import (
    BLACK,
    WHITE,
    Canvas,
    Colour,
    Point,
    Size,
    darker,
    disc,
    hsv,
    lighter,
    mix,
    shading,
)
from gallery.curation.demonstration.landscapes import fair_cloud
from gallery.curation.demonstration.shapes import down_to, oval, rolling, smooth


def city(rng: random.Random, size: Size) -> Image.Image:
    """Towers with lit windows under a night sky, now and then mirrored in a river."""
    canvas = Canvas(size)
    hue = rng.uniform(205, 285)
    shore = canvas.height * rng.choice((1.0, 0.74, 0.8))
    dusk = hsv(rng.choice((hue + 60, 25, 335, 18)), rng.uniform(0.45, 0.7), rng.uniform(0.5, 0.9))
    canvas.gradient((hsv(hue, 0.75, 0.14), hsv(hue, 0.65, 0.34), dusk, lighter(dusk, 0.2)), 0, shore * 0.85)
    canvas.gradient((lighter(dusk, 0.2), dusk), shore * 0.85, shore)
    stars(canvas, rng, 60, shore * 0.5)
    _moon(canvas, rng)
    haze = mix(hsv(hue, 0.5, 0.34), dusk, 0.35)
    tall = rng.uniform(0.5, 0.7)
    _skyline(canvas, rng, shore, tall, haze, lit=0.25)
    _skyline(canvas, rng, shore, tall * rng.uniform(0.6, 0.8), hsv(hue, 0.5, 0.14), lit=rng.uniform(0.3, 0.6))
    if shore < canvas.height:
        canvas.mirror(shore, hsv(hue, 0.7, 0.16), 0.3)
        _wavelets(canvas, rng, shore, hsv(hue, 0.7, 0.14))
    return canvas.image


def stars(canvas: Canvas, rng: random.Random, count: int, bottom: float) -> None:
    for _ in range(count):
        at = (canvas.width * rng.random(), bottom * rng.random())
        tint = hsv(rng.choice((40, 220)), rng.uniform(0, 0.3), 1)
        canvas.ellipse(at, canvas.unit * rng.uniform(0.001, 0.003), tint, opacity=rng.uniform(0.4, 1))


def _moon(canvas: Canvas, rng: random.Random) -> None:
    if rng.random() < 0.6:
        at = (canvas.width * rng.uniform(0.12, 0.88), canvas.height * rng.uniform(0.1, 0.25))
        radius = canvas.unit * rng.uniform(0.035, 0.07)
        canvas.glow(at, radius * 5, (255, 240, 200), strength=0.45)
        canvas.ellipse(at, radius, (255, 246, 220))


def _skyline(canvas: Canvas, rng: random.Random, shore: float, tall: float, wall: Colour, lit: float) -> None:
    x = -canvas.unit * rng.uniform(0, 0.1)
    while x < canvas.width:
        wide = canvas.unit * rng.uniform(0.09, 0.19)
        high = canvas.height * tall * rng.uniform(0.45, 1.15) * (shore / canvas.height)
        colour = mix(wall, WHITE, rng.uniform(0, 0.05))
        _tower(canvas, rng, (x, shore - high), (x + wide, shore), colour)
        _windows(canvas, rng, (x, shore - high), (x + wide, shore), lit)
        x += wide * rng.uniform(0.95, 1.2)


def _tower(canvas: Canvas, rng: random.Random, corner: Point, other: Point, colour: Colour) -> None:
    (left, top), (right, _) = corner, other
    middle, wide = (left + right) / 2, right - left
    canvas.rectangle(corner, other, colour)
    roof = rng.choice(("flat", "flat", "step", "spire", "slope"))
    if roof == "step":
        canvas.rectangle((left + wide * 0.2, top - wide * 0.35), (right - wide * 0.2, top), colour)
    elif roof == "spire":
        canvas.polygon([(left + wide * 0.2, top), (middle, top - wide * 0.5), (right - wide * 0.2, top)], colour)
        canvas.line([(middle, top - wide * 1.1), (middle, top - wide * 0.3)], colour, wide * 0.04)
    elif roof == "slope":
        canvas.polygon([(left, top), (right, top - wide * 0.4), (right, top)], colour)


def _windows(canvas: Canvas, rng: random.Random, corner: Point, other: Point, lit: float) -> None:
    (left, top), (right, bottom) = corner, other
    step = canvas.unit * rng.choice((0.022, 0.026, 0.03))
    columns = int((right - left) / step - 0.6)
    margin = (right - left - columns * step) / 2
    glow = hsv(rng.choice((44, 48, 38, 200)), rng.uniform(0.25, 0.6), 1)
    for row in range(int((bottom - top) / (step * 1.3))):
        for column in range(columns):
            if rng.random() < lit:
                x, y = left + margin + (column + 0.2) * step, top + (row + 0.45) * step * 1.3
                canvas.rectangle((x, y), (x + step * 0.55, y + step * 0.7), darker(glow, rng.choice((0, 0.1, 0.35))))


def _wavelets(canvas: Canvas, rng: random.Random, shore: float, water: Colour) -> None:
    for _ in range(70):
        at = (canvas.width * rng.random(), rng.uniform(shore, canvas.height))
        canvas.ellipse(at, canvas.unit * rng.uniform(0.02, 0.08), water, ry=canvas.unit * 0.004, opacity=0.5)


def planet(rng: random.Random, size: Size) -> Image.Image:
    """A banded, cratered or watery planet among the stars, some with a ring or moons."""
    canvas = Canvas(size)
    hue = rng.uniform(200, 330)
    canvas.gradient((hsv(hue, 0.7, 0.07), hsv(hue, 0.6, 0.13), (6, 6, 14)))
    for _ in range(rng.randint(2, 5)):
        at = (canvas.width * rng.random(), canvas.height * rng.random())
        cloud = hsv(hue + rng.uniform(-70, 70), 0.75, 0.6)
        canvas.glow(
            at, canvas.unit * rng.uniform(0.3, 0.8), cloud, ry=canvas.unit * rng.uniform(0.2, 0.5), strength=0.5
        )
    stars(canvas, rng, rng.randint(160, 320), canvas.height)
    at = (canvas.width * rng.uniform(0.38, 0.62), canvas.height * rng.uniform(0.42, 0.58))
    radius, tint = canvas.unit * rng.uniform(0.2, 0.34), rng.uniform(0, 360)
    tilt, ringed = rng.uniform(-30, 30), rng.random() < 0.45
    canvas.glow(at, radius * 2, hsv(tint, 0.5, 0.9), strength=0.8)
    if ringed:
        _ring_half(canvas, at, radius, tilt, tint, front=False)
    _globe(canvas, at, radius, rng.choice((_banded, _banded, _cratered, _watery))(rng, tint), tilt)
    if ringed:
        _ring_half(canvas, at, radius, tilt, tint, front=True)
    for _ in range(rng.randint(0, 2)):
        moon = (canvas.width * rng.choice((0.1, 0.16, 0.86, 0.92)), canvas.height * rng.choice((0.12, 0.2, 0.84)))
        canvas.ball(moon, canvas.unit * rng.uniform(0.02, 0.05), hsv(tint + 150, 0.2, 0.7), shine=0.3)
    return canvas.image


def _globe(canvas: Canvas, at: Point, radius: float, surface: Image.Image, tilt: float) -> None:
    side = round(radius * 2)
    face = surface.rotate(-tilt, Image.Resampling.BICUBIC).crop((40, 40, 216, 216)).resize((side, side))
    light = shading((side, side)).point([max(24, 255 - round((d / 255) ** 2 * 240)) for d in range(256)])
    lit = ImageChops.multiply(face, light.convert("RGB"))
    canvas.image.paste(lit, (round(at[0] - radius), round(at[1] - radius)), disc((side, side)))


def _banded(rng: random.Random, hue: float) -> Image.Image:
    rows = [
        hsv(hue + rng.uniform(-22, 22), rng.uniform(0.25, 0.65), rng.uniform(0.6, 1)) for _ in range(rng.randint(9, 18))
    ]
    bands = Image.new("RGB", (1, len(rows)))
    bands.putdata(rows)
    surface = bands.resize((256, 256), Image.Resampling.BICUBIC)
    draw, x, y = ImageDraw.Draw(surface, "RGBA"), rng.uniform(70, 170), rng.uniform(90, 170)
    draw.ellipse((x, y, x + 44, y + 22), (*darker(rows[0], 0.3), 170))
    return surface


def _cratered(rng: random.Random, hue: float) -> Image.Image:
    ground = hsv(hue, 0.25, 0.75)
    surface = Image.new("RGB", (256, 256), ground)
    draw = ImageDraw.Draw(surface, "RGBA")
    for _ in range(46):
        x, y, r = rng.uniform(20, 236), rng.uniform(20, 236), rng.uniform(3, 17)
        draw.ellipse((x - r, y - r, x + r, y + r), (*lighter(ground, 0.25), 200))
        draw.ellipse((x - r * 0.75, y - r * 0.8, x + r * 0.95, y + r * 0.9), (*darker(ground, 0.35), 200))
    return surface


def _watery(rng: random.Random, hue: float) -> Image.Image:
    surface = Image.new("RGB", (256, 256), hsv(205 + hue / 18, 0.75, 0.85))
    draw = ImageDraw.Draw(surface, "RGBA")
    for _ in range(rng.randint(5, 8)):
        x, y, r = rng.uniform(30, 226), rng.uniform(30, 226), rng.uniform(20, 48)
        coast = smooth(
            [
                (x + r * rng.uniform(0.4, 1.3) * math.cos(a), y + r * rng.uniform(0.4, 1.1) * math.sin(a))
                for a in range(6)
            ]
        )
        draw.polygon(coast, (*hsv(rng.uniform(80, 130), 0.5, 0.7), 255))
    for _ in range(16):
        x, y, r = rng.uniform(20, 236), rng.uniform(20, 236), rng.uniform(12, 40)
        draw.ellipse((x - r, y - r * 0.16, x + r, y + r * 0.16), (255, 255, 255, 150))
    return surface


def _ring_half(canvas: Canvas, at: Point, radius: float, tilt: float, hue: float, *, front: bool) -> None:
    for i, (reach, opacity) in enumerate(((1.95, 0.55), (1.78, 0.8), (1.6, 0.6), (1.46, 0.75))):
        outer, inner = radius * reach, radius * (reach - 0.13)
        far, near = (oval(at, r, r * 0.24, tilt, 80) for r in (outer, inner))
        half = slice(0, 41) if front else slice(40, 80)
        canvas.polygon(far[half] + near[half][::-1], hsv(hue + 30 + 8 * i, 0.25, 0.95 - 0.1 * (i % 2)), opacity)


def balloon(rng: random.Random, size: Size) -> Image.Image:
    """Striped hot-air balloons, near and far, over hills."""
    canvas = Canvas(size)
    hue = rng.choice((200, 210, 190, 220, 25))
    canvas.gradient((hsv(hue, 0.5, 0.95), hsv(hue + 10, 0.25, 1), hsv(40, 0.12, 1)))
    for _ in range(rng.randint(2, 5)):
        fair_cloud(canvas, rng, (canvas.width * rng.random(), canvas.height * rng.uniform(0.1, 0.7)))
    land = rng.uniform(70, 150)
    for i in range(3):
        line = rolling(rng, canvas.width, canvas.height * (0.84 + 0.06 * i), canvas.unit * 0.05)
        canvas.fill(
            down_to(line, canvas.height), (hsv(land, 0.3 + 0.1 * i, 0.8 - 0.1 * i), hsv(land, 0.5, 0.5 - 0.08 * i))
        )
    count = rng.choice((1, 1, 2, 3, 4))
    for i in range(count):
        across = (i + 0.5) / count + rng.uniform(-0.08, 0.08) / count
        largest = min(canvas.unit * 0.27, canvas.width / count * 0.46)
        radius = largest * (rng.uniform(0.85, 1) if i == count // 2 else rng.uniform(0.45, 0.8))
        _one_balloon(canvas, rng, (canvas.width * across, canvas.height * rng.uniform(0.34, 0.44)), radius)
    return canvas.image


def _envelope(t: float) -> float:
    """Half its width, in radii, at t from 0 (top) to 1 (mouth, 2.35 radii lower)."""
    if t < 0.43:
        return math.sqrt(max(0, 1 - (1 - t / 0.43) ** 2))
    return 0.2 + 0.8 * math.cos((t - 0.43) / 0.57 * math.pi / 2)


def _one_balloon(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    x, top = at[0], at[1] - radius
    hue, gores = rng.uniform(0, 360), rng.choice((8, 10, 12))
    colours = [
        hsv(hue, 0.8, 0.92),
        rng.choice((WHITE, hsv(48, 0.65, 1), hsv(hue + 150, 0.7, 0.85), hsv(hue + 25, 0.8, 1))),
    ]
    _gores(
        canvas, lambda turn, t: (x + radius * math.sin(turn) * _envelope(t), top + radius * 2.35 * t), gores, colours
    )
    mouth, basket = top + radius * 2.35, top + radius * 2.72
    for side in (-1, 1):
        canvas.line(
            [(x + side * radius * 0.18, mouth), (x + side * radius * 0.13, basket)], (90, 70, 55), radius * 0.02
        )
    wicker = (139, 96, 57)
    corners = [(x - radius * 0.16, basket), (x + radius * 0.16, basket), (x + radius * 0.12, basket + radius * 0.24)]
    canvas.fill(
        [*corners, (x - radius * 0.12, basket + radius * 0.24)],
        (lighter(wicker, 0.2), darker(wicker, 0.35)),
        sideways=True,
    )


def _gores(canvas: Canvas, on: Callable[[float, float], Point], gores: int, colours: list[Colour]) -> None:
    steps = [i / 30 for i in range(31)]
    for i in range(gores):
        left, right = (-math.pi / 2 + math.pi * (i + k) / gores for k in (0, 1))
        edge = [on(left, t) for t in steps] + [on(right, t) for t in reversed(steps)]
        lit = math.sin((left + right) / 2 + 0.5)
        canvas.polygon(edge, mix(lighter(colours[i % 2], 0.12), BLACK, max(0, lit) * 0.42))
