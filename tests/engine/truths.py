"""Pictures whose pixels are known, and how far what was decoded is from them."""

import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

import tests

CASES = Path(tests.__file__).resolve().parents[2] / "shared" / "cases" / "decode"
RIGHT = 1.3  # what compression and rounding make of a picture that is read right: 0 to 1.2


def given(name: str) -> Path:
    """Return one of the given files; skips where there is none."""
    path = CASES / name
    if not path.is_file():
        pytest.skip(f"there is no {os.path.relpath(path)}")
    return path


def truth(width: int = 320, height: int = 240) -> Image.Image:
    """Return a picture with all colours from dark to bright, pure ones as well, smooth enough for any codec."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    rings = Image.radial_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, rings, down))
    draw = ImageDraw.Draw(picture)
    for number, colour in enumerate(("red", "lime", "blue", "white", "gray", "black")):
        left = width * (2 * number + 1) // 13
        draw.rectangle((left, height // 6, left + width // 14, height // 3), fill=colour)
    return picture


def grey(picture: Image.Image) -> Image.Image:
    """Return its brightness, in RGB."""
    return picture.convert("L").convert("RGB")


def distance(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference per channel, of 255, at 64 x 48."""
    small = [picture.convert("RGB").resize((64, 48), Image.Resampling.BOX) for picture in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


# --- Files --------------------------------------------------------------------------------------------------


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with more chunks after its header."""
    made = (struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in chunks)
    return png[:33] + b"".join(made) + png[33:]


def with_code_points(heif: bytes, primaries: int, transfer: int) -> bytes:
    """Return a HEIC or AVIF that says that its colours have these, by ITU-T H.273."""
    at = heif.index(b"colrnclx") + 8
    return heif[:at] + struct.pack(">HH", primaries, transfer) + heif[at + 4 :]


def packed(values: list[list[int]], bits: int) -> bytes:
    """Rows of numbers of so many bits, each row filled up to a whole byte."""
    rows = []
    for row in values:
        number = 0
        for value in row:
            number = number << bits | value
        length = math.ceil(len(row) * bits / 8)
        rows.append((number << 8 * length - len(row) * bits).to_bytes(length))
    return b"".join(rows)


def tiff(size: tuple[int, int], order: str, fields: Mapping[int, tuple[int, ...]], body: bytes) -> bytes:
    """Return a TIFF in one strip, put together by hand. `fields`: the numbers of each tag."""
    width, height = size
    every = {256: (width,), 257: (height,), 273: (0,), 278: (height,), 279: (len(body),), **fields}
    at = 8 + 2 + 12 * len(every) + 4
    extra = b""
    entries = []
    for tag, numbers in sorted(every.items()):
        value = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            value, extra = struct.pack(order + "I", at + len(extra)), extra + value
        entries.append((tag, len(numbers), value))
    strip = struct.pack(order + "I", at + len(extra))
    made = b"".join(
        struct.pack(order + "HHI", tag, 4, count) + (strip if tag == 273 else value) for tag, count, value in entries
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(every))
    return start + made + bytes(4) + extra + body
