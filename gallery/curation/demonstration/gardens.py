"""In the garden: flowers and butterflies."""

import random

from PIL import Image

from gallery.curation.demonstration.canvas import Canvas, Colour, Point, Size, darker, hsv, lighter, mix
from gallery.curation.demonstration.shapes import leaf, oval, petal, place, polar, smooth


def flower(rng: random.Random, size: Size) -> Image.Image:
    """One to five large blossoms before greenery out of focus."""
    canvas = Canvas(size)
    _greenery(canvas, rng)
    count = rng.choice((1, 1, 1, 2, 3, 5))
    hue = rng.choice((0, 340, 320, 290, 265, 45, 25, 52, 350))
    for i in range(count):
        at = (canvas.width * ((i + 0.5) / count + rng.uniform(-0.06, 0.06)), canvas.height * rng.uniform(0.36, 0.48))
        if count > 1:
            at = (at[0], canvas.height * rng.uniform(0.26, 0.6))
        radius = min(canvas.unit * 0.36, canvas.width / count * 0.52) * rng.uniform(0.85, 1)
        _stem(canvas, rng, at, radius)
        _blossom(canvas, rng, at, radius, hue + rng.uniform(-14, 14))
    return canvas.image


def _greenery(canvas: Canvas, rng: random.Random) -> None:
    green = rng.uniform(75, 150)
    spots = [hsv(green + rng.uniform(-20, 20), rng.uniform(0.3, 0.6), rng.uniform(0.28, 0.75)) for _ in range(20)]
    canvas.blotches(spots)
    for _ in range(12):
        at = (canvas.width * rng.random(), canvas.height * rng.random())
        canvas.ellipse(at, canvas.unit * rng.uniform(0.03, 0.09), hsv(green, 0.3, 0.95), opacity=0.12)


def _stem(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    green, lean = hsv(rng.uniform(95, 130), 0.65, 0.45), rng.uniform(-0.4, 0.4) * radius
    foot = canvas.height * 1.02
    spine = [(at[0] + lean * t * t, at[1] + (foot - at[1]) * t) for t in (i / 10 for i in range(11))]
    canvas.line(spine, green, radius * 0.09)
    for side, joint in ((1, spine[6]), (-1, spine[7])):
        blade = leaf(joint, radius * 0.9, radius * 0.34, 90 - side * rng.uniform(110, 140), 0.8)
        canvas.fill(blade, (lighter(green, 0.3), darker(green, 0.2)))


def _blossom(canvas: Canvas, rng: random.Random, at: Point, radius: float, hue: float) -> None:
    petals, turn = rng.choice((5, 6, 8, 12, 16, 20)), rng.uniform(0, 360)
    colour = rng.choice((hsv(hue, 0.75, 0.95), hsv(hue, 0.5, 1), hsv(hue, 0.85, 0.85), (252, 250, 244)))
    wide, deep = radius * 5.4 / petals, rng.choice((hsv(hue, 0.9, 0.7), hsv(hue + 40, 0.8, 0.95), colour))
    canvas.glow((at[0] + radius * 0.1, at[1] + radius * 0.16), radius * 1.2, (10, 30, 10), strength=0.7)
    for layer, share in enumerate((1.0, 0.72) if petals > 6 or rng.random() < 0.5 else (1.0,)):
        tint = lighter(colour, 0.28 * layer)
        for i in range(petals):
            degrees = turn + 360 * (i + layer / 2) / petals
            edge = darker(tint, 0.16 if i % 2 else 0.05)
            canvas.polygon(petal(at, radius * share, wide * share, degrees), edge)
            canvas.polygon(petal(at, radius * share * 0.96, wide * share * 0.8, degrees), tint)
            canvas.polygon(petal(at, radius * share * 0.68, wide * share * 0.4, degrees), mix(tint, deep, 0.4))
    _heart(canvas, rng, at, radius * rng.uniform(0.2, 0.34))


def _heart(canvas: Canvas, rng: random.Random, at: Point, radius: float) -> None:
    colour = rng.choice(((250, 200, 40), (245, 170, 30), (110, 66, 30), (240, 220, 90)))
    canvas.ball(at, radius, colour, shine=0.3)
    for i in range(90):
        dot = polar(at, radius * 0.94 * (i / 90) ** 0.5, i * 137.5)
        canvas.ellipse(dot, radius * 0.06, (darker, lighter)[i % 2](colour, 0.3))


def butterfly(rng: random.Random, size: Size) -> Image.Image:
    """A butterfly with open wings, before blossoms out of focus."""
    canvas = Canvas(size)
    hue = rng.uniform(0, 360)
    canvas.blotches([hsv(hue + rng.uniform(-30, 30), rng.uniform(0.1, 0.28), rng.uniform(0.88, 1)) for _ in range(20)])
    for _ in range(14):
        at = (canvas.width * rng.random(), canvas.height * rng.random())
        canvas.ellipse(at, canvas.unit * rng.uniform(0.03, 0.1), hsv(hue + rng.uniform(-60, 60), 0.3, 1), opacity=0.3)
    count = rng.choice((1, 1, 1, 1, 2))
    tint = hue + rng.uniform(120, 240)
    for i in range(count):
        at = (canvas.width * ((i + 0.5) / count + rng.uniform(-0.05, 0.05)), canvas.height * rng.uniform(0.45, 0.55))
        span = min(canvas.unit * 0.5, canvas.width / count * 0.46) * rng.uniform(0.82, 1)
        _one_butterfly(canvas, rng, at, span, tint + 40 * i)
    return canvas.image


def _one_butterfly(canvas: Canvas, rng: random.Random, at: Point, span: float, hue: float) -> None:
    """`span` is the reach of one wing."""
    turn, high, low = rng.uniform(-25, 25), rng.uniform(0.75, 1), rng.uniform(0.65, 0.95)
    fore = [
        (0.03, -0.08),
        (0.25, -0.5 * high),
        (0.62, -0.82 * high),
        (0.95, -0.8 * high),
        (0.9, -0.42),
        (0.7, -0.08),
        (0.3, 0.06),
    ]
    hind = [
        (0.03, 0.0),
        (0.35, -0.02),
        (0.68, 0.1),
        (0.74, 0.42 * low),
        (0.5, 0.72 * low),
        (0.3, 0.62 * low),
        (0.1, 0.3),
    ]
    rim = rng.choice(((34, 28, 36), hsv(hue + 20, 0.8, 0.3), hsv(hue, 0.9, 0.42)))
    colour = hsv(hue, rng.uniform(0.65, 0.9), 0.95)
    second = hsv(hue + rng.choice((-30, 30, 45, 160)), 0.7, 1)
    spots = [(rng.uniform(0.38, 0.68), rng.uniform(-0.55, -0.2), rng.uniform(0.03, 0.07)) for _ in range(3)]
    for flip in (False, True):
        for wing, inner in ((hind, second), (fore, colour)):
            _wing(
                canvas, [place(smooth(wing), at, span * share, turn, flip=flip) for share in (1, 0.86, 0.5)], rim, inner
            )
        for x, y, r in [*spots, (0.48, 0.3 * low, 0.09), (0.86, -0.62 * high, 0.03), (0.84, -0.5, 0.025)]:
            eye = place([(x, y)], at, span, turn, flip=flip)[0]
            canvas.ellipse(eye, span * r, rim)
            canvas.ellipse(eye, span * r * 0.62, lighter(second, 0.5))
        feeler = place([(0.01, -0.28), (0.06, -0.5), (0.16, -0.66)], at, span, turn, flip=flip)
        canvas.line(feeler, (40, 34, 40), span * 0.014)
        canvas.ellipse(feeler[-1], span * 0.022, (40, 34, 40))
    body = place([(x, y) for x, y in oval((0, 0), 0.055, 0.34)], at, span, turn)
    canvas.fill(body, ((88, 74, 70), (34, 28, 34)), sideways=True)


def _wing(canvas: Canvas, outlines: list[list[Point]], rim: Colour, colour: Colour) -> None:
    whole, inner, root = outlines
    canvas.polygon(whole, rim)
    canvas.fill(inner, (lighter(colour, 0.3), colour, darker(colour, 0.12)))
    canvas.polygon(root, mix(colour, rim, 0.35), 0.4)
    for corner in inner[8:48:8]:
        canvas.line([inner[0], corner], mix(colour, rim, 0.7), canvas.unit * 0.003, 0.7)
