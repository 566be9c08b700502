"""A sheet to draw on: colours, gradients, glows and shaded balls, with Pillow alone."""

import colorsys
import random
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFilter, ImageOps

Point = tuple[float, float]
Colour = tuple[int, int, int]
Size = tuple[int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from its hue in degrees and its saturation and value, 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def any_colour(rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """A colour of any hue, its saturation and value between two bounds each."""
    return hsv(rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour between two: `share` 0 is the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def lighter(colour: Colour, share: float) -> Colour:
    return mix(colour, WHITE, share)


def darker(colour: Colour, share: float) -> Colour:
    return mix(colour, BLACK, share)


class Canvas:
    """An RGB picture under way. Everything is in pixels; `unit` is the shorter side."""

    def __init__(self, size: Size) -> None:
        self.image = Image.new("RGB", size)
        self.width, self.height = size
        self.unit = min(size)
        self._draw = ImageDraw.Draw(self.image, "RGBA")  # RGBA on RGB: colours with an opacity blend

    def gradient(self, colours: Sequence[Colour], top: float = 0, bottom: float | None = None) -> None:
        """Fill the full width from `top` to `bottom` with colours that run into one another downwards."""
        end = self.height if bottom is None else round(bottom)
        start = round(top)
        if end > start:
            self.image.paste(ramp(colours, (self.width, end - start)), (0, start))

    def blotches(self, colours: Sequence[Colour], columns: int = 5) -> None:
        """Fill everything with large soft spots, row by row: a background out of focus."""
        spots = Image.new("RGB", (columns, -(-len(colours) // columns)))
        spots.putdata(colours)
        self.image.paste(spots.resize(self.image.size, Image.Resampling.BICUBIC))

    def polygon(self, points: Sequence[Point], colour: Colour, opacity: float = 1) -> None:
        self._draw.polygon(points, (*colour, round(255 * opacity)))

    def ellipse(self, centre: Point, rx: float, colour: Colour, *, ry: float | None = None, opacity: float = 1) -> None:
        self._draw.ellipse(_box(centre, rx, rx if ry is None else ry), (*colour, round(255 * opacity)))

    def ring(self, centre: Point, radius: float, width: float, colour: Colour, flat: float = 1) -> None:
        """The outline of a circle or, with `flat` below 1, of a lying ellipse; `width` reaches inwards."""
        self._draw.ellipse(_box(centre, radius, radius * flat), outline=colour, width=max(1, round(width)))

    def rectangle(self, corner: Point, other: Point, colour: Colour, *, opacity: float = 1, radius: float = 0) -> None:
        self._draw.rounded_rectangle((*corner, *other), radius, (*colour, round(255 * opacity)))

    def line(self, points: Sequence[Point], colour: Colour, width: float, opacity: float = 1) -> None:
        """A line with round ends; where it is see-through it has plain ones, which would show twice."""
        fill = (*colour, round(255 * opacity))
        self._draw.line(points, fill, max(1, round(width)), "curve" if opacity == 1 else None)
        if opacity == 1 and width > 3:
            for end in (points[0], points[-1]):
                self._draw.ellipse(_box(end, width / 2, width / 2), fill)

    def fill(self, points: Sequence[Point], colours: Sequence[Colour], *, sideways: bool = False) -> None:
        """A polygon filled with colours that run into one another downwards, or from left to right."""
        left, top = (int(min(axis)) for axis in zip(*points, strict=True))
        right, bottom = (int(max(axis)) + 1 for axis in zip(*points, strict=True))
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], 255)
        self.image.paste(ramp(colours, size, sideways=sideways), (left, top), mask)

    def glow(self, centre: Point, rx: float, colour: Colour, *, ry: float | None = None, strength: float = 1) -> None:
        """A light (or, in a dark colour, a shadow) that fades outwards and ends at rx and ry."""
        left, top, right, bottom = (round(v) for v in _box(centre, rx, rx if ry is None else ry))
        mask = _fading(round(strength * 20)).resize((max(1, right - left), max(1, bottom - top)))
        self.image.paste(colour, (left, top), mask)

    def ball(self, centre: Point, rx: float, colour: Colour, *, ry: float | None = None, shine: float = 0.55) -> None:
        """A round body lit from the upper left."""
        left, top, right, bottom = (round(v) for v in _box(centre, rx, rx if ry is None else ry))
        size = (max(1, right - left), max(1, bottom - top))
        body = ImageOps.colorize(shading(size), lighter(colour, shine), darker(colour, 0.55), colour, midpoint=135)
        self.image.paste(body, (left, top), disc(size))

    def mirror(self, shore: float, water: Colour, share: float) -> None:
        """Still water below `shore`: what is above it, smeared, with that share of the water's own colour."""
        depth = self.height - round(shore)
        above = self.image.crop((0, round(shore) - depth, self.width, round(shore)))
        smeared = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).reduce((1, 8)).resize(above.size)
        self.image.paste(Image.blend(smeared, Image.new("RGB", above.size, water), share), (0, round(shore)))

    def cloud(self, puffs: Sequence[tuple[Point, float]], colour: Colour, opacity: float = 0.9) -> None:
        """Soft round puffs, each a centre and a radius, run into one."""
        reach = max(radius for _, radius in puffs) * 1.4
        left = int(min(x for (x, _), _ in puffs) - reach)
        top = int(min(y for (_, y), _ in puffs) - reach)
        right = int(max(x for (x, _), _ in puffs) + reach)
        bottom = int(max(y for (_, y), _ in puffs) + reach)
        # Blurred at an eighth of the size: soft as it is, nobody sees, and it is fifty times quicker.
        mask = Image.new("L", ((right - left) // 8 + 1, (bottom - top) // 8 + 1))
        draw = ImageDraw.Draw(mask)
        for (x, y), radius in puffs:
            draw.ellipse(_box(((x - left) / 8, (y - top) / 8), radius / 8, radius / 8), round(255 * opacity))
        soft = mask.filter(ImageFilter.GaussianBlur(reach / 60 + 0.6))
        self.image.paste(colour, (left, top), soft.resize((right - left, bottom - top), Image.Resampling.BICUBIC))


def ramp(colours: Sequence[Colour], size: Size, *, sideways: bool = False) -> Image.Image:
    """Colours that run into one another, the first and the last right at the edges."""
    steps = Image.new("RGB", (len(colours), 1) if sideways else (1, len(colours)))
    steps.putdata(list(colours))
    n = len(colours)
    box = (0.5, 0, n - 0.5, 1) if sideways else (0, 0.5, 1, n - 0.5)
    across = (size[0], 1) if sideways else (1, size[1])
    # In two steps: repeating a line is ten times quicker than blending along it.
    return steps.resize(across, Image.Resampling.BILINEAR, box=box).resize(size, Image.Resampling.NEAREST)


def shading(size: Size) -> Image.Image:
    """The distance from a light at the upper left: 0 at the light, 255 where it is darkest."""
    return _distances().resize(size, Image.Resampling.BILINEAR, box=(52, 52, 252, 252))


def disc(size: Size) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), 255)
    return mask


@cache
def _distances() -> Image.Image:
    """The distance from the middle, 255 at the edge; Pillow's own is 255 in the corners."""
    return Image.radial_gradient("L").point([min(255, round(value * 2**0.5)) for value in range(256)])


@cache
def _fading(twentieths: int) -> Image.Image:
    faded = [round(twentieths / 20 * 255 * ((255 - distance) / 255) ** 2) for distance in range(256)]
    return _distances().point(faded)


def _box(centre: Point, rx: float, ry: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - rx, y - ry, x + rx, y + ry
