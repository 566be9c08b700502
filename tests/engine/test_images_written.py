"""New files are made from the pixels alone; crops are parts of them."""

import io

import pytest
from PIL import Image

from engine.images.decoding import Crop, crop, decode, to_jpeg
from tests.engine.looks import Colour, colour_at, difference
from tests.engine.pictures import (
    BLUE,
    GREEN,
    RED,
    encoded,
    noise,
    scene,
    with_metadata,
)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_metadata_survives_in_the_new_file(name: str) -> None:
    data = with_metadata(name)
    assert b"secret" in data
    new = to_jpeg(decode(data), 2000)
    assert b"secret" not in new
    assert b"s\0e\0c\0r\0e\0t" not in new
    assert b"Exif" not in new
    with Image.open(io.BytesIO(new)) as reopened:
        assert set(reopened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_to_jpeg_takes_only_the_pixels_of_whatever_it_is_given() -> None:
    with Image.open(io.BytesIO(with_metadata("JPEG"))) as picture:
        assert b"secret" not in to_jpeg(picture, 2000)
        assert b"secret" not in to_jpeg(picture, 20)


@pytest.mark.parametrize("name", ["JPEG", "GIF", "PNG"])
def test_what_is_hidden_behind_a_picture_is_left_behind(name: str) -> None:
    polyglot = encoded(scene(), name) + b"<script>alert('payload')</script>"
    assert b"payload" not in to_jpeg(decode(polyglot), 2000)


@pytest.mark.parametrize(
    ("size", "max_side_px", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((300, 400), 200, (150, 200)),
        ((40, 30), 200, (40, 30)),
        ((4000, 1), 10, (10, 1)),
    ],
)
def test_to_jpeg_shrinks_and_never_enlarges(size: tuple[int, int], max_side_px: int, expected: tuple[int, int]) -> None:
    picture = scene(*size)
    assert decode(to_jpeg(picture, max_side_px)).size == expected
    assert picture.size == size


def test_a_better_quality_is_nearer_to_the_picture() -> None:
    rough, fine = (decode(to_jpeg(noise(), 2000, quality)) for quality in (30, 95))
    assert difference(fine, noise()) < difference(rough, noise())


# Crops


@pytest.mark.parametrize(
    ("part", "colour", "size"),
    [
        (Crop(0, 0, 0.05, 0.05), RED, (6, 4)),
        (Crop(0.75, 0, 0.25, 0.25), GREEN, (30, 20)),
        (Crop(0, 0.9, 0.1, 0.1), BLUE, (12, 8)),
        (Crop(0, 0, 1, 1), RED, (120, 80)),
        (Crop(0.999, 0, 0.001, 0.001), GREEN, (1, 1)),
        (Crop(0.33333334, 0.9, 0.66666667, 0.1), BLUE, (80, 8)),
    ],
)
def test_a_crop_is_that_part_of_the_picture(part: Crop, colour: Colour, size: tuple[int, int]) -> None:
    piece = crop(scene(), part)
    assert colour_at(piece) == colour
    assert piece.size == size


@pytest.mark.parametrize(
    "part",
    [
        (-0.1, 0, 0.5, 0.5),
        (0, 0, 0, 0.5),
        (0, 0, 1.1, 1),
        (0.6, 0, 0.5, 1),
        (1, 0, 0.5, 1),
        (0, 0, float("nan"), 1),
    ],
)
def test_a_crop_outside_the_picture_cannot_be_made(part: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="crop"):
        Crop(*part)


@pytest.mark.parametrize("part", [Crop(0, 0, 1e-9, 1e-9), Crop(0.999999, 0.999999, 1e-6, 1e-6)])
def test_a_crop_has_at_least_one_pixel(part: Crop) -> None:
    assert crop(scene(3, 2), part).size == (1, 1)
