"""Decoded smaller: large enough, and the same to the eye."""

import pytest
from PIL import Image

from engine.images.decoding import decode
from tests.engine.looks import difference, every_format
from tests.engine.pictures import (
    encoded,
    scene,
)


@pytest.mark.parametrize("at_least_px", [100, 333, 450, 899, 900, 5000])
@every_format
def test_a_reduced_picture_is_large_enough_and_looks_the_same(name: str, at_least_px: int) -> None:
    data = encoded(scene(1200, 900), name, **({"quality": 60} if name in ("AVIF", "HEIF") else {}))
    full, reduced = decode(data), decode(data, at_least_px=at_least_px)
    assert min(reduced.size) >= min(at_least_px, 900)
    assert max(reduced.size) <= 1200
    assert difference(full.resize((32, 24), Image.Resampling.BOX), reduced.resize((32, 24))) < 8


@pytest.mark.parametrize(("name", "shorter"), [("JPEG", 113), ("PNG", 100), ("HEIF", 100)])
def test_a_picture_is_reduced_as_far_as_it_may_be(name: str, shorter: int) -> None:
    assert min(decode(encoded(scene(1200, 900), name), at_least_px=100).size) == shorter


def test_a_thumbnail_inside_a_heic_is_not_taken_for_the_picture() -> None:
    data = encoded(scene(1200, 900), "HEIF", thumbnails=[256])
    assert min(decode(data, at_least_px=100).size) == 100


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK"])
def test_bands_leave_no_seam(mode: str) -> None:
    picture = scene(1501, 1999).convert(mode)
    whole = picture.convert("RGB")
    assert decode(encoded(picture, "TIFF")).tobytes() == whole.tobytes()
    third = decode(encoded(picture, "TIFF"), at_least_px=500)
    assert difference(third, whole.reduce(3)) < 0.5
