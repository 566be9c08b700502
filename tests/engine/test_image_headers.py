"""What the first bytes of a file say, read without Pillow and without a codec."""

import io
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from engine.errors import BadImage
from engine.images import headers
from engine.images.headers import ALLOWED, Header, Limits
from tests.engine import bombs
from tests.engine.pictures import FORMATS, encoded, noise, oriented, scene
from tests.engine.test_images_memory import FAST

SIZES = [(1, 1), (120, 80), (641, 479)]


def read(data: bytes) -> Header:
    return headers.read(io.BytesIO(data))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_the_format_and_the_size_are_those_that_pillow_reads(name: str, size: tuple[int, int]) -> None:
    header, (width, height) = read(encoded(scene(*size), name)), size
    assert header.format == name
    padding = 64 if name == "HEIF" else 0  # its codec stores whole blocks
    assert 0 <= header.width_px - width <= padding
    assert 0 <= header.height_px - height <= padding


@pytest.mark.parametrize(
    ("make", "header"),
    [
        (lambda: encoded(scene(), "JPEG", progressive=True), Header("JPEG", 120, 80)),
        (lambda: encoded(scene().convert("CMYK"), "JPEG"), Header("JPEG", 120, 80)),
        (lambda: oriented(scene(), "JPEG", 6), Header("JPEG", 80, 120)),
        (lambda: encoded(scene(), "JPEG", exif=b"Exif\0\0" + bytes(60_000)), Header("JPEG", 120, 80)),
        (lambda: b"\xff\xd8\xff\xff\xff" + encoded(scene(), "JPEG")[3:], Header("JPEG", 120, 80)),
        (lambda: encoded(scene(), "WEBP", lossless=False), Header("WEBP", 120, 80)),
        (lambda: encoded(scene().convert("RGBA"), "WEBP"), Header("WEBP", 120, 80)),
        (lambda: encoded(scene(), "WEBP", save_all=True, append_images=[noise()]), Header("WEBP", 120, 80)),
        (lambda: encoded(scene(), "TIFF", big_tiff=True), Header("TIFF", 120, 80)),
        (lambda: encoded(Image.new("RGB", (4000, 3000)), "HEIF", **FAST), Header("HEIF", 4000, 3000)),
    ],
    ids=["progressive", "cmyk", "turned", "long Exif", "padded", "lossy", "alpha", "animated", "BigTIFF", "tiles"],
)
def test_variants_of_formats_are_read(make: Callable[[], bytes], header: Header) -> None:
    assert read(make()) == header


@pytest.mark.parametrize("name", ALLOWED)
def test_a_header_may_end_anywhere(name: str) -> None:
    data = encoded(scene(), name)
    for length in range(1, min(len(data), 700)):
        try:
            header = read(data[:length])
        except BadImage as error:
            assert error.code == "unsupported_format"  # noqa: PT017
            assert length < 16
        else:
            assert header in (Header(name, 120, 80), Header(name, 0, 0)) or header.format == name


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_pixels=9599), "too_many_pixels"),
        (Limits(max_side_px=119), "too_many_pixels"),
        (Limits(max_bytes=100), "too_large"),
    ],
)
def test_what_is_over_a_limit_is_refused(limits: Limits, code: str) -> None:
    file = io.BytesIO(encoded(scene(), "PNG"))
    with pytest.raises(BadImage) as error:
        headers.check(file, limits)
    assert error.value.code == code
    headers.check(file, Limits())
    assert file.tell() == 0


@pytest.mark.parametrize(("name", "side"), [("WEBP", 5400), ("AVIF", 6700)])
def test_formats_that_take_much_memory_have_fewer_pixels(name: str, side: int) -> None:
    data = encoded(Image.new("RGB", (side, side)), name)
    with pytest.raises(BadImage) as error:
        headers.check(io.BytesIO(data), Limits())
    assert error.value.code == "too_many_pixels"


class Counting(io.BytesIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_boxes_that_end_before_they_begin_are_empty() -> None:
    """Each of them would have the whole file read otherwise: 16 GB of a file of 16 MB."""
    file = Counting(bombs.heic_of_backward_boxes())
    headers.check(file, Limits())
    assert file.count < 2**20


def test_reading_headers_needs_no_pillow() -> None:
    script = "import sys, engine.images.headers; assert not {name for name in sys.modules if name.startswith('PIL')}"
    subprocess.run([sys.executable, "-c", script], check=True)
