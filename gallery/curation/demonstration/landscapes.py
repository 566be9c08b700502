"""Wide views: a sunset over the sea, mountains, a tree on a meadow, a forest in the snow."""

import random

from PIL import Image

from gallery.curation.demonstration.canvas import WHITE, Canvas, Colour, Point, Size, darker, hsv, lighter, mix
from gallery.curation.demonstration.shapes import down_to, oval, polar, ridge, rolling

EVENINGS: list[tuple[Colour, ...]] = [
    ((44, 28, 84), (168, 62, 110), (247, 130, 82), (255, 214, 130)),
    ((30, 42, 92), (122, 84, 142), (244, 138, 116), (255, 208, 160)),
    ((72, 28, 60), (196, 58, 62), (250, 132, 50), (255, 222, 96)),
    ((46, 62, 110), (206, 122, 120), (255, 178, 96), (255, 236, 170)),
    ((66, 22, 92), (186, 48, 126), (252, 106, 102), (255, 190, 112)),
]


def sunset(rng: random.Random, size: Size) -> Image.Image:
    """The sun over the sea, its light on the water."""
    canvas = Canvas(size)
    sky = rng.choice(EVENINGS)
    horizon = canvas.height * rng.uniform(0.5, 0.68)
    sun = (canvas.width * rng.uniform(0.2, 0.8), horizon - canvas.unit * rng.uniform(0.0, 0.2))
    radius = canvas.unit * rng.uniform(0.07, 0.13)
    canvas.gradient(sky, 0, horizon)
    canvas.glow(sun, radius * 6, lighter(sky[-1], 0.3), strength=0.9)
    canvas.ellipse(sun, radius, lighter(sky[-1], 0.6))
    _streaks(canvas, rng, sky, horizon)
    canvas.gradient((mix(sky[-1], sky[1], 0.45), mix(sky[1], sky[0], 0.4), darker(sky[0], 0.35)), horizon)
    if rng.random() < 0.6:
        island = ridge(rng, canvas.width, horizon + 1, canvas.unit * rng.uniform(-0.1, 0.16), rough=0.55)
        canvas.polygon([(x, min(y, horizon + 1)) for x, y in island], darker(mix(sky[0], sky[1], 0.4), 0.3))
    _glitter(canvas, rng, sun[0], horizon, sky[-1])
    _birds(canvas, rng, horizon, darker(sky[0], 0.3))
    return canvas.image


def _streaks(canvas: Canvas, rng: random.Random, sky: tuple[Colour, ...], horizon: float) -> None:
    for _ in range(rng.randint(3, 9)):
        at = (canvas.width * rng.random(), horizon * rng.uniform(0.1, 0.9))
        colour = mix(sky[-1], sky[1], rng.random())
        wide = canvas.width * rng.uniform(0.1, 0.35)
        canvas.glow(at, wide, colour, ry=wide * rng.uniform(0.06, 0.14), strength=0.85)


def _glitter(canvas: Canvas, rng: random.Random, middle: float, horizon: float, colour: Colour) -> None:
    depth = canvas.height - horizon
    for _ in range(260):
        far = rng.random() ** 1.4
        x = rng.gauss(middle, canvas.unit * (0.04 + 0.13 * far))
        long = canvas.unit * rng.uniform(0.01, 0.05) * (0.4 + far)
        tall = canvas.unit * 0.004 * (0.5 + 1.5 * far)
        y = horizon + depth * far
        canvas.ellipse((x, y), long, lighter(colour, 0.35), ry=tall, opacity=rng.uniform(0.25, 0.8))


def _birds(canvas: Canvas, rng: random.Random, horizon: float, colour: Colour) -> None:
    for _ in range(rng.choice((0, 0, 3, 5, 7))):
        x, y = canvas.width * rng.uniform(0.1, 0.9), horizon * rng.uniform(0.15, 0.7)
        span = canvas.unit * rng.uniform(0.012, 0.03)
        wings = [(x - span, y - span * 0.5), (x - span * 0.4, y - span * 0.5), (x, y)]
        canvas.line([*wings, (x + span * 0.4, y - span * 0.5), (x + span, y - span * 0.5)], colour, span / 5)


def mountains(rng: random.Random, size: Size) -> Image.Image:
    """Ranges one behind the other, the far ones pale and with snow."""
    canvas = Canvas(size)
    hue, height = rng.uniform(195, 245), canvas.height
    sky = (hsv(hue, 0.55, 0.85), hsv(hue - 10, 0.3, 0.95), hsv(hue - 150, 0.12, 1))
    canvas.gradient(sky, 0, height * 0.65)
    _fair_clouds(canvas, rng, height * 0.25)
    _snowy_range(canvas, rng, hue, height * rng.uniform(0.55, 0.66))
    near = hsv(rng.choice((75, 95, 110, 125, 150, 170)), rng.uniform(0.45, 0.7), rng.uniform(0.28, 0.5))
    ranges = rng.randint(2, 4)
    for i in range(ranges):
        share = (i + 1) / ranges
        line = ridge(rng, canvas.width, height * (0.68 + 0.2 * share), height * 0.16, rough=0.5)
        colour = mix(hsv(hue, 0.35, 0.68), near, share)
        canvas.fill(down_to(line, height), (colour, mix(colour, sky[1], 0.25 * (1 - share))))
    _firs_along(canvas, rng, line, darker(near, 0.35))
    if rng.random() < 0.45:
        shore = height * rng.uniform(0.76, 0.82)
        canvas.mirror(shore, hsv(hue, 0.5, 0.75), 0.45)
        canvas.ellipse((canvas.width / 2, shore), canvas.width, lighter(sky[1], 0.5), ry=canvas.unit * 0.003)
    return canvas.image


def _snowy_range(canvas: Canvas, rng: random.Random, hue: float, base: float) -> None:
    """Peaks with white tops and a lit and a shadowed flank each."""
    rock = hsv(hue + rng.choice((0, 0, 20, 140)), rng.uniform(0.2, 0.38), rng.uniform(0.42, 0.6))
    for _ in range(rng.randint(3, 6)):
        x, high = canvas.width * rng.uniform(0, 1), canvas.unit * rng.uniform(0.22, 0.5)
        top, wide = base - high, high * rng.uniform(0.75, 1.2)
        fold = [(x, top)] + [(x + wide * t * rng.uniform(-0.2, 0.28), top + high * t) for t in (0.3, 0.6, 1)]
        canvas.fill([(x - wide, base), *fold], (lighter(rock, 0.25), mix(rock, WHITE, 0.45)))
        canvas.fill([*fold, (x + wide, base)], (darker(rock, 0.12), mix(rock, WHITE, 0.3)))
        snow = rng.uniform(0.3, 0.45)
        teeth = [(x + wide * snow * t, top + high * snow * rng.uniform(0.75, 1.15)) for t in (0.55, 0.2, -0.25, -0.6)]
        canvas.polygon(
            [(x, top), (x + wide * snow, top + high * snow), *teeth, (x - wide * snow, top + high * snow)], WHITE
        )
        shade = [(x, top), (x + wide * snow, top + high * snow), *teeth[:2]]
        canvas.polygon(shade, hsv(hue, 0.16, 0.88))
    foothills = ridge(rng, canvas.width, base, canvas.unit * 0.12, rough=0.5)
    canvas.fill(down_to(foothills, canvas.height), (mix(rock, WHITE, 0.3), mix(rock, WHITE, 0.1)))


def _fair_clouds(canvas: Canvas, rng: random.Random, y: float) -> None:
    for _ in range(rng.randint(1, 4)):
        fair_cloud(canvas, rng, (canvas.width * rng.random(), y * rng.uniform(0.3, 1.4)))


def fair_cloud(canvas: Canvas, rng: random.Random, at: Point, colour: Colour = WHITE) -> None:
    wide = canvas.unit * rng.uniform(0.1, 0.22)
    puffs = []
    for _ in range(9):
        aside = rng.uniform(-1, 1)
        radius = wide * (0.42 - 0.26 * abs(aside)) * rng.uniform(0.8, 1.2)
        puffs.append(((at[0] + aside * wide, at[1] - radius * 0.6), radius))
    canvas.cloud(puffs, colour)


def _firs_along(canvas: Canvas, rng: random.Random, line: list[Point], colour: Colour) -> None:
    for _ in range(rng.choice((0, 25, 45))):
        x, y = rng.choice(line)
        high = canvas.unit * rng.uniform(0.04, 0.1)
        y += canvas.unit * rng.uniform(0.02, 0.12)
        for lift in (0.0, 0.28, 0.52):
            half = high * 0.26 * (1 - lift)
            canvas.polygon(
                [(x - half, y - high * lift), (x, y - high * (lift + 0.48)), (x + half, y - high * lift)], colour
            )


def tree(rng: random.Random, size: Size) -> Image.Image:
    """A broad tree on a meadow, in one of the seasons' colours."""
    canvas = Canvas(size)
    sky = rng.uniform(185, 215)
    canvas.gradient((hsv(sky, 0.45, 0.95), hsv(sky, 0.12, 1)))
    _fair_clouds(canvas, rng, canvas.height * 0.2)
    meadow, base = rng.uniform(70, 115), canvas.height * rng.uniform(0.76, 0.86)
    for lift, value in ((0.08, 0.78), (0.0, 0.66)):
        line = rolling(rng, canvas.width, base - canvas.unit * lift, canvas.unit * 0.05)
        canvas.fill(down_to(line, canvas.height), (hsv(meadow, 0.5, value), hsv(meadow, 0.6, value - 0.25)))
    root = (canvas.width * rng.uniform(0.36, 0.64), base + canvas.unit * 0.04)
    high = min(canvas.unit * rng.uniform(0.6, 0.8), root[1] * 0.9)
    canvas.glow(root, high * 0.5, hsv(meadow, 0.7, 0.2), ry=high * 0.08, strength=0.8)
    _crowned(canvas, rng, root, high)
    return canvas.image


def _crowned(canvas: Canvas, rng: random.Random, root: Point, high: float) -> None:
    bark, (x, y) = hsv(rng.uniform(18, 32), 0.5, rng.uniform(0.28, 0.42)), root
    crown = (x, y - high * 0.62)
    thick = high * rng.uniform(0.035, 0.055)
    trunk = [(x - thick * 1.5, y), (x - thick * 0.7, y - high * 0.25), (x - thick * 0.5, crown[1])]
    canvas.fill(
        [*trunk, *((2 * x - a, b) for a, b in reversed(trunk))], (lighter(bark, 0.1), darker(bark, 0.4)), sideways=True
    )
    for degrees in (215, 240, 300, 325):
        canvas.line([(x, y - high * 0.3), polar(crown, high * 0.28, degrees + rng.uniform(-8, 8))], bark, thick * 0.7)
    _foliage(canvas, rng, crown, high * 0.38)


def _foliage(canvas: Canvas, rng: random.Random, middle: Point, radius: float) -> None:
    """Leaves from the shadow below and behind to the light above and in front."""
    hue, flat = rng.choice((85, 100, 115, 135, 28, 45, 10, 340)), rng.uniform(0.75, 0.95)
    boughs = [polar(middle, radius * 0.5, 60 + 60 * i + rng.uniform(-20, 20), flat) for i in range(6)]
    for i in range(800):
        front = i / 800
        reach = radius * rng.random() ** 0.5 * (0.72 - 0.16 * front)
        x, y = polar((middle, *boughs)[i % 7], reach, rng.uniform(0, 360), flat)
        lit = 0.5 + (middle[1] - y) / radius * 0.25 + (middle[0] - x) / radius * 0.1
        colour = hsv(hue + rng.uniform(-12, 14), 0.72 - 0.2 * lit * front, min(1, 0.28 + 0.4 * lit + 0.3 * front))
        leafy = radius * rng.uniform(0.05, 0.1)
        canvas.polygon(oval((x, y), leafy, leafy * 0.65, rng.uniform(0, 180), 12), colour)


def winter(rng: random.Random, size: Size) -> Image.Image:
    """Firs under snow, on a day or at dusk, with flakes in the air."""
    canvas = Canvas(size)
    hue, light = rng.uniform(190, 275), rng.uniform(0.6, 0.97)
    glow = hsv(rng.choice((20, 345, 45, hue)), rng.uniform(0.1, 0.32), min(1, light + 0.1))
    canvas.gradient((hsv(hue, 0.45, light - 0.12), glow), 0, canvas.height * 0.7)
    mist = hsv(hue, 0.14, min(1, light + 0.02))
    rows, largest = rng.randint(3, 4), rng.uniform(0.42, 0.8)
    for row in range(rows):
        near = (row + 1) / rows
        base = canvas.height * (0.5 + 0.3 * near)
        line = rolling(rng, canvas.width, base, canvas.unit * 0.03)
        needles = mix(mist, hsv(rng.uniform(140, 190), 0.45, 0.26), near)
        snow = mix(mist, WHITE, 0.3 + 0.7 * near)
        canvas.fill(down_to(line, canvas.height), (snow, hsv(hue, 0.12, 0.9)))
        for _ in range(round(16 - 10 * near)):
            x, y = rng.choice(line)
            high = canvas.unit * rng.uniform(0.2, largest) * near
            fir(canvas, rng, (x, y + canvas.unit * 0.02), high, needles, snow)
    for _ in range(rng.choice((40, 120, 220))):
        at = (canvas.width * rng.random(), canvas.height * rng.random())
        canvas.ellipse(at, canvas.unit * rng.uniform(0.002, 0.007), WHITE, opacity=rng.uniform(0.5, 0.95))
    return canvas.image


def fir(canvas: Canvas, rng: random.Random, root: Point, high: float, needles: Colour, snow: Colour) -> None:
    x, y = root
    canvas.rectangle((x - high * 0.025, y - high * 0.12), (x + high * 0.025, y), (82, 62, 54))
    for tier in range(6):
        level = y - high * (0.1 + 0.135 * tier)
        half, rise = high * (0.27 - 0.038 * tier), high * 0.27
        droop = [
            (x + half * t, level + half * (0.16 if i % 2 else 0)) for i, t in enumerate((-1, -0.6, -0.2, 0.2, 0.6, 1))
        ]
        canvas.polygon([(x, level - rise), *reversed(droop)], darker(needles, 0.05 * (tier % 2)))
        sag = rng.uniform(0.3, 0.55)
        cap = [
            (x - half, level),
            (x - half * 0.45, level - rise * 0.28),
            (x, level - rise * sag * 0.6),
            (x + half * 0.3, level - rise * 0.4),
        ]
        canvas.polygon([(x, level - rise), *reversed(cap)], snow)
