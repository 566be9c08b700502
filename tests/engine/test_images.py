"""Untrusted bytes become a clean picture, whatever runs around it."""

import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import ImageFile

from engine.images.decoding import decode
from engine.images.headers import ALLOWED
from tests.engine.looks import LOSSLESS, colour_at, difference, every_format
from tests.engine.pictures import (
    FORMATS,
    RED,
    encoded,
    noise,
    png,
    scene,
    with_metadata,
)


@every_format
def test_every_accepted_format_gives_the_picture(name: str) -> None:
    picture = decode(encoded(scene(), name))
    assert difference(picture, scene()) < (0.001 if name in LOSSLESS else 3)


def test_the_tests_draw_every_accepted_format() -> None:
    assert set(FORMATS) == set(ALLOWED)


@every_format
def test_what_comes_out_is_plain(name: str) -> None:
    picture = decode(with_metadata(name) if name != "GIF" else encoded(scene(), name, comment="secret"))
    assert picture.mode == "RGB"
    assert picture.info == {}
    assert not isinstance(picture, ImageFile.ImageFile)


@every_format
def test_decoding_twice_gives_the_same_pixels(name: str) -> None:
    data = encoded(noise(), name)
    assert decode(data).tobytes() == decode(data).tobytes()


@pytest.mark.parametrize("name", ["AVIF", "HEIF"])
def test_the_brand_that_avif_and_heic_share_is_read(name: str) -> None:
    data = encoded(scene(), name)
    assert data[4:8] == b"ftyp"
    assert decode(data[:8] + b"mif1" + data[12:]).size == scene().size


def test_a_phone_s_mpo_gives_its_first_picture() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[noise()], quality=95)
    assert difference(decode(data), scene()) < 4


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_only_the_first_frame_is_read(name: str) -> None:
    data = encoded(scene(), name, save_all=True, append_images=[noise(seed=seed) for seed in range(5)])
    assert difference(decode(data), scene()) < 3


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"subsampling": 2}, {"restart_marker_blocks": 1}]
)
def test_all_kinds_of_jpeg_are_read(options: dict[str, int]) -> None:
    assert difference(decode(encoded(scene(), "JPEG", **options)), scene()) < 4


def test_an_interlaced_png_is_read() -> None:
    data = png((1, 1), 8, 2, b"\0\xff\0\0")
    header = data[12:28] + b"\1"
    interlaced = data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]
    assert colour_at(decode(interlaced)) == RED


def test_threads_get_what_one_thread_gets() -> None:
    files = [encoded(noise(seed=seed), name) for name in FORMATS for seed in range(4)]
    alone = [decode(data).tobytes() for data in files]
    with ThreadPoolExecutor(8) as threads:
        assert [picture.tobytes() for picture in threads.map(decode, files)] == alone


_QUIET = """
import sys
sys.path.insert(0, ".")
from engine.images.decoding import decode
decode(sys.stdin.buffer.read())
print(sorted({"numpy", "torch", "django"} & set(sys.modules)))
"""


def test_pillow_s_warnings_are_neither_printed_nor_errors_and_nothing_heavy_is_imported() -> None:
    cut = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\1\3\0"
    command = [sys.executable, "-W", "error", "-c", _QUIET]
    done = subprocess.run(command, input=encoded(scene(), "JPEG", exif=cut), capture_output=True)
    assert (done.stderr, done.stdout.strip()) == (b"", b"[]")
