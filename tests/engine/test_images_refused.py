"""What is refused, with which code, and how soon."""

import time
import zlib

import pytest
from PIL import Image

from engine.errors import BadImage
from engine.images.decoding import Limits, decode
from tests.engine.looks import every_format, refusal
from tests.engine.pictures import (
    RED,
    damaged,
    encoded,
    gif_without_width,
    noise,
    png,
    scene,
)

READ_IN_PART = ("JPEG", "PNG")


def test_an_empty_file_is_empty() -> None:
    assert refusal(b"") == "empty"


def test_a_file_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    data = encoded(scene(), "PNG")
    assert refusal(data, Limits(max_bytes=len(data) - 1)) == "too_large"
    assert decode(data, Limits(max_bytes=len(data))).size == scene().size


def test_the_message_names_the_limit() -> None:
    with pytest.raises(BadImage, match=r"^The file is larger than 16 MB; send a smaller one\.$"):
        decode(bytes(16 * 2**20 + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"just text in a file named .jpg",
        b"\0" * 1000,
        b"<html><script>alert(1)</script></html>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.7\n",
        b"8BPS\0\1" + bytes(100),
        b"P6 1 1 255 \xff\xff\xff",
        b"\0\0\0\x18ftypisom" + bytes(100),
        encoded(scene(), "ICO"),
        encoded(scene(), "TGA"),
        encoded(scene(), "JPEG2000"),
    ],
    ids=["text", "zeros", "html", "svg", "eps", "pdf", "psd", "ppm", "mp4", "ico", "tga", "jpeg2000"],
)
def test_anything_else_is_an_unsupported_format(data: bytes) -> None:
    assert refusal(data) == "unsupported_format"


@pytest.mark.parametrize("part", [0.02, 0.1, 0.25, 0.5, 0.75, 0.9])
@every_format
def test_a_truncated_file_is_corrupt(name: str, part: float) -> None:
    if name in READ_IN_PART and part > 0.7:
        pytest.skip("is read as far as it goes: test_images_incomplete.py")
    data = encoded(noise(), name)
    assert refusal(data[: max(20, int(len(data) * part))]) == "corrupt"


@pytest.mark.parametrize("at", [8, 12, 18, 24, 30])
def test_a_png_with_a_damaged_header_is_corrupt(at: int) -> None:
    data = bytearray(encoded(scene(), "PNG"))
    data[at] ^= 0x55
    assert refusal(bytes(data)) == "corrupt"


def test_a_png_whose_text_unpacks_to_gigabytes_is_corrupt() -> None:
    bomb = (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**24)))
    assert refusal(png((1, 1), 8, 2, b"\0\xff\0\0", bomb)) == "corrupt"


@pytest.mark.parametrize("data", [gif_without_width(), png((0, 1), 8, 2, b"\0")], ids=["GIF", "PNG"])
def test_a_picture_without_width_is_corrupt(data: bytes) -> None:
    assert refusal(data) == "corrupt"


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (12000, 9000), (8000, 7000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_from_the_header_alone(width: int, height: int) -> None:
    data = png((width, height), 8, 2, bytes(1000))
    begin = time.perf_counter()
    assert refusal(data) == "too_many_pixels"
    assert time.perf_counter() - begin < 1


@every_format
def test_the_pixels_of_every_format_are_limited(name: str) -> None:
    data = encoded(scene(), name)
    pixels = scene().width * scene().height
    assert refusal(data, Limits(max_pixels=pixels - 1)) == "too_many_pixels"
    assert refusal(data, Limits(max_side_px=scene().width - 1)) == "too_many_pixels"
    assert decode(data, Limits(max_pixels=pixels, max_side_px=scene().width)).size == scene().size


def test_a_picture_long_and_thin_is_refused_by_its_side_and_read_within_it() -> None:
    assert refusal(encoded(Image.new("L", (65500, 1)), "JPEG")) == "too_many_pixels"
    thin = decode(encoded(Image.new("RGBA", (20000, 1), RED), "PNG"), at_least_px=1)
    assert thin.size == (20000, 1)


def test_a_jpeg_of_hundreds_of_scans_is_refused_at_once() -> None:
    data = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    assert decode(data, at_least_px=500).size == (500, 500)
    scan = data[data.rindex(b"\xff\xda") : -2]
    begin = time.perf_counter()
    assert refusal(data[:-2] + scan * 200 + data[-2:]) == "too_costly"
    assert time.perf_counter() - begin < 2


def test_a_jpeg_of_a_million_exif_segments_is_refused_at_once() -> None:
    data = encoded(scene(), "JPEG")
    begin = time.perf_counter()
    assert refusal(data[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * 1_000_000 + data[2:]) == "too_costly"
    assert time.perf_counter() - begin < 2


@every_format
def test_a_damaged_file_is_a_picture_or_is_refused_and_nothing_else(name: str) -> None:
    data = encoded(scene(48, 32), name)
    codes = set()
    for bad in damaged(data, seed=len(name), count=300):
        try:
            assert decode(bad, Limits(max_pixels=10**6), at_least_px=16).mode == "RGB"
        except BadImage as error:
            codes.add(error.code)
    assert "corrupt" in codes
    assert codes <= {"corrupt", "unsupported_format", "too_many_pixels", "too_costly"}
