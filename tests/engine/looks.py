"""How the tests of pictures look at them."""

import pytest
from PIL import Image, ImageChops, ImageStat

from engine.errors import BadImage
from engine.images.decoding import Limits, decode
from tests.engine.pictures import (
    FORMATS,
)

every_format = pytest.mark.parametrize("name", FORMATS)
LOSSLESS = ("PNG", "WEBP", "BMP", "TIFF")
Colour = tuple[int, ...]


def refusal(data: bytes, limits: Limits = Limits(), within_px: int | None = None) -> str:  # noqa: B008 - frozen
    """Return the code a file is refused with."""
    with pytest.raises(BadImage) as caught:
        decode(data, limits, within_px=within_px)
    message = str(caught.value)
    assert message.endswith(".")
    assert "; " in message
    return caught.value.code


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures of one size, in steps of 255."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def colour_at(picture: Image.Image, x: int = 0, y: int = 0) -> Colour:
    colour = picture.getpixel((x, y))
    assert isinstance(colour, tuple)
    return colour


def near(one: Colour, other: Colour, tolerance: int = 4) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))
