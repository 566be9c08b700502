"""Very wide and very tall pictures: what is kept shows something, and it is what the file shows."""

import io

import pytest
from PIL import Image

from engine.images.decoding import decode, middle
from gallery.curation import pictures
from tests.engine.looks import difference, every_format
from tests.engine.pictures import encoded

STRIPE_PX = 50


def striped(width: int, height: int) -> Image.Image:
    """Stripes across the longer side, each of another colour."""
    longest = max(width, height)
    colours = [(place * 37 % 256, place * 91 % 256, place * 53 % 256) for place in range(longest // STRIPE_PX + 1)]
    line = Image.new("RGB", (len(colours), 1))
    line.putdata(colours)
    picture = line.resize((len(colours) * STRIPE_PX, min(width, height)), Image.Resampling.NEAREST)
    picture = picture.crop((0, 0, longest, min(width, height)))
    return picture if width > height else picture.transpose(Image.Transpose.TRANSPOSE)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((20000, 20), (20000, 20)),
        ((20, 20000), (20, 20000)),
        ((20000, 150), (13333, 100)),
        ((6000, 400), (1500, 100)),
        ((3000, 300), (1000, 100)),
        ((300, 3000), (100, 1000)),
        ((4000, 3000), (1000, 750)),
        ((900, 9), (900, 9)),
    ],
    ids=str,
)
def test_the_shorter_side_keeps_a_hundred_pixels(size: tuple[int, int], kept: tuple[int, int]) -> None:
    picture = striped(*size)
    found = decode(encoded(picture, "PNG"), within_px=1000)
    assert found.size == kept
    assert difference(found, picture.resize(kept, Image.Resampling.BOX)) < 4


@every_format
def test_a_long_picture_of_any_format_is_kept_as_it_is(name: str) -> None:
    picture = striped(6000, 64)
    found = opened(pictures.reencode(encoded(picture, name)).picture)
    assert found.size == (6000, 64)
    assert difference(found, picture) < 6


@pytest.mark.parametrize("size", [(20000, 20), (20, 20000), (6000, 400), (5000, 30)], ids=str)
def test_the_thumbnail_of_a_long_picture_is_its_middle(size: tuple[int, int]) -> None:
    picture = striped(*size)
    thumbnail = opened(pictures.reencode(encoded(picture, "PNG")).thumbnail)
    width, height = thumbnail.size
    assert max(width, height) / min(width, height) == pytest.approx(4, rel=0.05)
    assert min(width, height) == pytest.approx(min(80, *size), abs=1)
    assert difference(thumbnail, middle(picture, 4).resize(thumbnail.size, Image.Resampling.BOX)) < 6


def test_a_photograph_is_not_cut() -> None:
    picture = striped(1600, 400)
    assert opened(pictures.reencode(encoded(picture, "PNG")).thumbnail).size == (320, 80)
