"""No accepted picture takes more than 250 MB, from its bytes to the file that is kept."""

import functools
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image

from engine.errors import BadImage
from engine.images.decoding import decode
from tests.engine.bombs import slow_png
from tests.engine.looks import refusal
from tests.engine.pictures import encoded

MOST_MB = 250

_PEAK = """
import pathlib, re, sys
sys.path.insert(0, ".")
from engine.images.decoding import decode, to_jpeg
def peak_mb():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
data = sys.stdin.buffer.read()
before = peak_mb()
picture = decode(data, at_least_px=768)
picture.thumbnail((1024, 1024))
to_jpeg(picture, 1024)
print(peak_mb() - before)
"""


def peak_mb(data: bytes) -> float:
    """Return what taking in a file adds to a process's memory. Raises CalledProcessError if it is refused."""
    done = subprocess.run([sys.executable, "-c", _PEAK], input=data, capture_output=True, check=True)
    return float(done.stdout)


def deep_tiff(width: int, height: int) -> bytes:
    """Return a TIFF of 16 bits a channel, RGBA, deflated as one strip; Pillow writes none."""
    body = zlib.compress(bytes(width * height * 8), 1)
    bits_at = 8 + 2 + 12 * 9 + 4
    tags = [(256, width), (257, height), (258, bits_at), (259, 8), (262, 2), (273, bits_at + 8)]
    tags += [(277, 4), (278, height), (279, len(body))]
    entries = b"".join(struct.pack("<HHII", tag, 3 if tag == 258 else 4, 4 if tag == 258 else 1, n) for tag, n in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + struct.pack("<4H", 16, 16, 16, 16) + body


FAST = {"quality": 20, "enc_params": {"preset": "ultrafast"}}
# Each as large as it may be: width and height, mode, format, options.
LARGEST: dict[str, tuple[tuple[int, int], str, str, dict[str, Any]]] = {
    "webp": ((4100, 3150), "RGBA", "WEBP", {"lossless": False, "method": 0}),
    "webp, lossless": ((4100, 3150), "RGBA", "WEBP", {"method": 0, "quality": 0}),
    "avif": ((4040, 3020), "RGBA", "AVIF", {"speed": 10}),
    "avif with film grain": ((4040, 3020), "RGB", "AVIF", {"speed": 10, "advanced": {"film-grain-test": "1"}}),
    "heic": ((5712, 4284), "RGB", "HEIF", FAST),
    "heic of 48 megapixels": ((8064, 6048), "RGB", "HEIF", {**FAST, "chroma": 420}),
    "webp of 24 megapixels": ((6000, 4080), "RGBA", "WEBP", {"lossless": False, "method": 0}),
    "webp of 24 megapixels, lossless": ((6000, 4080), "RGBA", "WEBP", {"method": 0, "quality": 0}),
    "avif of 24 megapixels": ((6000, 4080), "RGB", "AVIF", {"speed": 10, "subsampling": "4:2:0"}),
    "avif, 4:4:4, alpha": ((4900, 3800), "RGBA", "AVIF", {"speed": 10}),
    "avif, 4:4:4, film grain": ((6000, 4080), "RGB", "AVIF", {"speed": 10, "advanced": {"film-grain-test": "1"}}),
    "jpeg": ((8192, 6100), "RGB", "JPEG", {"quality": 80}),
    "jpeg, progressive": ((8064, 6048), "RGB", "JPEG", {"progressive": True, "subsampling": 2}),
    "jpeg, progressive, 4:4:4": ((6900, 4800), "RGB", "JPEG", {"progressive": True}),
    "jpeg, progressive, CMYK": ((4900, 5100), "CMYK", "JPEG", {"progressive": True}),
    "jpeg, progressive, long, CMYK": ((680, 19990), "CMYK", "JPEG", {"progressive": True}),
    "jpeg, long": ((2500, 19990), "CMYK", "JPEG", {}),
    "jpeg, long, turned": (
        (1370, 19990),
        "RGB",
        "JPEG",
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
    ),
    "png, long": ((1370, 19990), "RGBA", "PNG", {}),
    "gif": ((8192, 6100), "P", "GIF", {"transparency": 0}),
    "tiff in strips": ((8192, 6100), "RGBA", "TIFF", {"compression": "tiff_lzw"}),
    "tiff in one strip": ((6200, 4430), "RGBA", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: 4430}}),
    "tiff, floating point": ((8192, 6100), "F", "TIFF", {"compression": "tiff_lzw"}),
}


@functools.cache
def largest(kind: str) -> bytes:
    """Return the largest picture of a kind; encoding one takes longer than most tests."""
    size, mode, name, options = LARGEST[kind]
    return encoded(Image.new(mode, size), name, **options)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak of a process")


@needs_proc
def test_fifty_megapixels_with_alpha_take_at_most_250_mb() -> None:
    # More than 100, or nothing is measured.
    assert 100 < peak_mb(slow_png()) < MOST_MB


@needs_proc
def test_deep_colours_in_one_strip_take_at_most_250_mb() -> None:
    assert peak_mb(deep_tiff(4200, 4300)) < MOST_MB


OTHER_TIFFS: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "floats in one strip": ((4900, 5400), "float32", {"photometric": "minisblack", "rowsperstrip": 4900}),
    "floats in strips": ((4900, 5400), "float32", {"photometric": "minisblack", "rowsperstrip": 16}),
    "colours in floats": ((2900, 3000, 3), "float32", {"photometric": "rgb", "rowsperstrip": 2900}),
    "planes of 16 bits": (
        (3, 4100, 4300),
        "uint16",
        {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 4100},
    ),
}


@needs_proc
@pytest.mark.parametrize(("shape", "kind", "options"), OTHER_TIFFS.values(), ids=OTHER_TIFFS)
def test_the_largest_of_the_tiffs_that_pillow_does_not_read(
    shape: tuple[int, ...], kind: str, options: dict[str, Any]
) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros(shape, kind), compression="zlib", **options)
    assert 100 < peak_mb(file.getvalue()) < MOST_MB


# A little more than that: refused from the header.
TOO_LARGE: dict[str, tuple[tuple[int, int], str, str, dict[str, Any]]] = {
    "webp": ((5400, 5300), "L", "WEBP", {"lossless": False, "method": 0}),
    "webp, animated": (
        (4200, 3200),
        "L",
        "WEBP",
        {"save_all": True, "append_images": [Image.new("L", (4200, 3200), 9)]},
    ),
    "avif": ((7400, 6000), "L", "AVIF", {"speed": 10, "quality": 20}),
    "avif, alpha": ((5600, 4500), "RGBA", "AVIF", {"speed": 10}),
    "jpeg, progressive, 4:4:4": ((7200, 5000), "RGB", "JPEG", {"progressive": True}),
    "jpeg, progressive, CMYK": ((5500, 5000), "CMYK", "JPEG", {"progressive": True}),
    "tiff in one strip": ((6300, 4500), "RGBA", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: 4500}}),
}


@pytest.mark.parametrize(("size", "mode", "name", "options"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_would_take_more_has_too_many_pixels(
    size: tuple[int, int], mode: str, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(BadImage) as caught:
        decode(encoded(Image.new(mode, size), name, **options), at_least_px=768)
    assert caught.value.code == "too_many_pixels"


def test_deep_colours_in_too_large_a_strip_have_too_many_pixels() -> None:
    assert refusal(deep_tiff(4400, 4300)) == "too_many_pixels"
    assert decode(deep_tiff(44, 43)).size == (44, 43)


def test_a_jpeg_whose_components_come_one_after_the_other_counts_as_a_progressive_one() -> None:
    data = encoded(Image.new("RGB", (7200, 5000)), "JPEG")
    assert decode(data, at_least_px=1000).size == (1800, 1250)
    scan = data.index(b"\xff\xda") + 4
    assert data[scan] == 3
    one_by_one = data[:scan] + b"\1" + data[scan + 1 :]
    with pytest.raises(BadImage, match=r"at most 33\.8"):
        decode(one_by_one, at_least_px=1000)


def deep_heic(width: int, height: int) -> bytes:
    """Return a HEIC of 10 bits a channel, with alpha, at full resolution."""
    file = io.BytesIO()
    heif = pillow_heif.from_bytes(mode="RGBA;16", size=(width, height), data=bytes(width * height * 8))
    heif.save(file, chroma=444, **FAST)
    return file.getvalue()


@needs_proc
def test_a_heic_of_deep_colours_takes_at_most_250_mb_and_a_larger_one_is_refused() -> None:
    assert peak_mb(deep_heic(3700, 2900)) < MOST_MB
    assert refusal(enlarged(deep_heic(64, 64), 3800, 2900)) == "too_many_pixels"


def test_a_heic_of_more_than_24_7_megapixels_is_refused_from_its_header() -> None:
    small = encoded(Image.new("RGB", (64, 64)), "HEIF", **FAST)
    assert (
        refusal(enlarged(small, 5712, 4284), within_px=1000) == "corrupt"
    )  # as far as the pixels, which are not there
    assert refusal(enlarged(small, 5800, 4400), within_px=1000) == "too_many_pixels"


def enlarged(heic: bytes, width: int, height: int) -> bytes:
    """Return a HEIC that claims to be of another size."""
    size = heic.index(b"ispe") + 8
    return heic[:size] + struct.pack(">II", width, height) + heic[size + 8 :]


def test_the_message_names_the_limit_of_that_kind() -> None:
    with pytest.raises(BadImage, match=r"at most 28\.2 megapixels"):
        decode(encoded(Image.new("L", (5400, 5300)), "WEBP", method=0), within_px=100)
