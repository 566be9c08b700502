"""A small gallery of drawn pictures, for newcomers who have no photographs at hand.

Every picture is made from its kind and number alone: the same one each time.
"""

import io
import random
from collections.abc import Callable, Iterator
from typing import BinaryIO

from PIL import Image

from gallery.curation.demonstration import fruits, gardens, houses, landscapes, skies, things, waters
from gallery.curation.demonstration.canvas import Size

PER_KIND = 15  # 240 pictures of 16 kinds
SIZES: list[Size] = [(480, 360), (480, 320), (540, 360), (400, 400), (360, 480), (480, 400), (512, 342)]

KINDS: dict[str, Callable[[random.Random, Size], Image.Image]] = {
    "balloon": skies.balloon,
    "butterfly": gardens.butterfly,
    "city": skies.city,
    "clock": things.clock,
    "cup": things.cup,
    "fish": waters.fish,
    "flower": gardens.flower,
    "fruit": fruits.fruit,
    "house": houses.house,
    "mosaic": things.mosaic,
    "mountains": landscapes.mountains,
    "planet": skies.planet,
    "sailing boat": waters.sailing_boat,
    "sunset": landscapes.sunset,
    "tree": landscapes.tree,
    "winter": landscapes.winter,
}


def draw(kind: str, number: int) -> Image.Image:
    """The picture of that kind and number, RGB, its shorter side 320 to 400 pixels."""
    rng = random.Random(f"{kind} {number}")  # noqa: S311 - it draws, it guards nothing
    width, height = rng.choice(SIZES)
    # Drawn at twice the size: Pillow's outlines are jagged, and shrinking makes them smooth.
    large = KINDS[kind](rng, (2 * width, 2 * height))
    return large.resize((width, height), Image.Resampling.LANCZOS)


def title(kind: str, number: int) -> str:
    return f"{kind.capitalize()} {number}"


def file(kind: str, number: int) -> BinaryIO:
    """The picture as a BMP file, whose bytes depend on the pixels alone and not on the JPEG library of the day."""
    drawn = io.BytesIO()
    draw(kind, number).save(drawn, "BMP")
    drawn.seek(0)
    return drawn


def catalogue(per_kind: int = PER_KIND) -> Iterator[tuple[str, int]]:
    """Every kind and number, the kinds taking turns: whoever stops early has some of each."""
    return ((kind, number) for number in range(1, per_kind + 1) for kind in KINDS)


def pictures(per_kind: int = PER_KIND) -> Iterator[tuple[str, str, BinaryIO]]:
    """Label, title and file of `per_kind` pictures of each kind, each drawn when it is asked for."""
    for kind, number in catalogue(per_kind):
        yield kind, title(kind, number), file(kind, number)
