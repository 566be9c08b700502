"""Read the format and the size in pixels from the header of a picture file. Runs no codec, imports no Pillow.

The web process judges uploads by this alone. A file that is refused here is no picture or too large a one; whether
its pixels are whole is known when a worker decodes it.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from engine.errors import BadImage
from engine.images import isobmff
from engine.images.isobmff import Readable, read_at
from engine.images.limits import (
    BYTES_PER_PIXEL,
    MAX_DECODING_BYTES,
    MAX_GIF_PREFIX_BYTES,
    MAX_HEADER_PARTS,
    MAX_TIFF_NUMBERS,
)

# Pillow's names, and what people call them. JPEG includes MPO, which phones write. AVIF comes before HEIF: both readers
# claim files branded `mif1`, and only AVIF's leaves them to the other.
ALLOWED = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WEBP": "WebP",
    "GIF": "GIF",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "AVIF": "AVIF",
    "HEIF": "HEIC",
}
# ISO/IEC 23008-12 and the AVIF specification: pictures and sequences of them.
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
_STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
# JPEG's frame headers: SOF0 to SOF15 without the three markers between them that are something else.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Limits:
    """What is accepted: bytes of the file, pixels of the picture, pixels of its longer side.

    Formats whose codec needs much memory get fewer pixels, so that no picture takes more than 250 MB: WebP 28 million
    (animated 12.9), AVIF 24 to 43 (more than 8 bits or alpha at full colour resolution 19), HEIC 49 (colours at full
    resolution 24.7, deep colours 14.1), a progressive JPEG with colours at full resolution 33 (CMYK 25), a TIFF
    compressed in one strip 27.5 (16 bits a channel 18), and what is decoded at full size 27.5 (WebP and AVIF 12 to 25,
    HEIC 27). Only the first frame is ever read, so frames need no limit.
    """

    max_bytes: int = 16 * 2**20
    max_pixels: int = 50_000_000
    max_side_px: int = 20_000


@dataclass(frozen=True)
class Crop:
    """A part of an upright picture, as fractions of its width and height, from the top left.

    Raises ValueError if it is empty or reaches outside.
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        for start, length in ((self.x, self.w), (self.y, self.h)):
            # Written so that NaN fails; the slack is for fractions that were rounded as text.
            if not (0 <= start < 1 and length > 0 and start + length <= 1 + 1e-6):
                raise ValueError("The crop is empty or reaches outside; give fractions from 0 to 1.")


@dataclass(frozen=True)
class Header:
    """The format by Pillow's name; the size as it is stored, not turned upright, (0, 0) where it was not found."""

    format: str
    width_px: int
    height_px: int


def check(file: Readable | BinaryIO, limits: Limits) -> Header:
    """Read the header and leave the file at its start.

    Raises BadImage: `empty`, `too_large`, `unsupported_format`, `too_many_pixels`, `too_costly`. A known kind of file
    whose header is damaged passes: decoding it fails with `corrupt`.
    """
    file.seek(0, os.SEEK_END)
    check_bytes(file.tell(), limits)
    header = read(file)
    most = min(limits.max_pixels, int(MAX_DECODING_BYTES / BYTES_PER_PIXEL.get(header.format, 1.0)))
    check_pixels((header.width_px, header.height_px), most, limits)
    check_costs(file)
    file.seek(0, os.SEEK_SET)
    return header


def check_bytes(count: int, limits: Limits) -> None:
    """Raise BadImage `empty` or `too_large` unless the size is within the limits."""
    if not count:
        raise BadImage("empty", "The file is empty; choose a picture and send it again.")
    if count > limits.max_bytes:
        most = f"{limits.max_bytes / 2**20:g} MB"
        raise BadImage("too_large", f"The file is larger than {most}; send a smaller one.")


def check_costs(file: Readable | BinaryIO) -> None:
    """Raise BadImage `unsupported_format`, and `too_costly` where the header shows it."""
    name = kind_of(read_at(file, 0, 64))
    with suppress(struct.error, IndexError, KeyError):  # a damaged header: decoding fails soon
        if name in _IS_COSTLY and _IS_COSTLY[name](file):
            raise too_costly()


def coded_size(file: Readable | BinaryIO) -> tuple[int, int]:
    """Return the size that a HEIC or AVIF is decoded at, of which only a part may be shown; (0, 0) of other formats."""
    header = read(file)
    return (header.width_px, header.height_px) if header.format in {"HEIF", "AVIF"} else (0, 0)


def check_pixels(size: tuple[int, int], most: int, limits: Limits) -> None:
    """Raise BadImage `too_many_pixels` unless the picture is within the limits."""
    if size[0] * size[1] > most or max(size) > limits.max_side_px:
        raise too_many_pixels(most, limits)


def read(file: Readable | BinaryIO) -> Header:
    """Read format and size from the header. Raises BadImage `unsupported_format`."""
    file.seek(0, os.SEEK_SET)
    start = file.read(64)
    name = kind_of(start)
    try:
        width, height = _SIZES[name](file, start)
    except (struct.error, IndexError, KeyError):
        width = height = 0
    return Header(name, width, height)


def kind_of(start: bytes) -> str:
    """Return the format of a file by its first bytes. Raises BadImage `unsupported_format`."""
    for name, starts in _STARTS.items():
        if start.startswith(starts):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS | AVIF_BRANDS:
        return "AVIF" if start[8:12] in AVIF_BRANDS or b"avif" in start[12:] else "HEIF"
    *names, last = ALLOWED.values()
    kinds = f"{', '.join(names)} or {last}"
    raise BadImage("unsupported_format", f"The file is not a picture that can be read here; send a {kinds}.")


def too_many_pixels(most: int, limits: Limits) -> BadImage:
    """Return the error for a picture with more than `most` pixels."""
    allowed = f"{most / 1e6:.3g} megapixels and {limits.max_side_px} pixels a side"
    return BadImage("too_many_pixels", f"The picture is too big; send one of at most {allowed}.")


def too_costly() -> BadImage:
    """Return the error for a picture that takes too much time or memory to decode."""
    return BadImage(
        "too_costly", "The picture takes too much time or memory to read; save it again as a plain JPEG or PNG."
    )


# --- Where each format keeps its size -------------------------------------------------------------------------

Size = tuple[int, int]


def _jpeg(file: Readable | BinaryIO, start: bytes) -> Size:
    at = 2
    for _ in range(MAX_HEADER_PARTS):
        file.seek(at, os.SEEK_SET)
        part = file.read(9)
        marker = part[1]
        if part[0] != 0xFF or marker == 0xFF:  # padding between segments
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", part[5:9])
            return width, height
        else:
            at += 2 if marker in (0x01, *range(0xD0, 0xD9)) else 2 + int.from_bytes(part[2:4])
    return 0, 0


def _bmp(file: Readable | BinaryIO, start: bytes) -> Size:
    is_os2 = start[14:18] == b"\x0c\0\0\0"
    width, height = struct.unpack("<HH", start[18:22]) if is_os2 else struct.unpack("<ii", start[18:26])
    return abs(width), abs(height)


def _webp(file: Readable | BinaryIO, start: bytes) -> Size:
    if start[12:16] == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", start[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff(file: Readable | BinaryIO, start: bytes) -> Size:
    order = "<" if start.startswith(b"II") else ">"
    found = {}
    for tag, kind, _, value in _tiff_fields(file, start):
        if tag in (256, 257):
            found[tag] = struct.unpack_from(order + {3: "H", 16: "Q"}.get(kind, "I"), value)[0]
    return found.get(256, 0), found.get(257, 0)


def _tiff_fields(file: Readable | BinaryIO, start: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the fields of the first folder: tag, type, number of values, and the value or where it is."""
    order = "<" if start.startswith(b"II") else ">"
    is_big = start[2:4] in (b"+\0", b"\0+")
    first, number, field = (
        (struct.unpack(order + "Q", start[8:16])[0], "Q", "HHQ8s")
        if is_big
        else (struct.unpack(order + "I", start[4:8])[0], "H", "HHI4s")
    )
    file.seek(first, os.SEEK_SET)
    (count,) = struct.unpack(order + number, file.read(struct.calcsize(order + number)))
    for _ in range(min(count, MAX_HEADER_PARTS)):
        yield struct.unpack(order + field, file.read(struct.calcsize(order + field)))


_SIZES: dict[str, Callable[[Readable | BinaryIO, bytes], Size]] = {
    "JPEG": _jpeg,
    "PNG": lambda _, start: struct.unpack(">II", start[16:24]),
    "GIF": lambda _, start: struct.unpack("<HH", start[6:10]),
    "BMP": _bmp,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": lambda file, _: isobmff.size(file),
    "HEIF": lambda file, _: isobmff.size(file),
}


# --- Files that take long, though their pictures are small ----------------------------------------------------


def _gif_is_costly(file: Readable | BinaryIO) -> bool:
    """Tell whether more bytes than MAX_GIF_PREFIX_BYTES come before the first picture."""
    start = read_at(file, 0, MAX_GIF_PREFIX_BYTES)
    at = 13 + (3 << (start[10] & 7) + 1 if start[10] & 0x80 else 0)
    while at < len(start) and start[at] not in b",;":
        is_extension = start[at] == ord("!")
        at += 2 if is_extension else 1
        while is_extension and at < len(start) and start[at]:
            at += 1 + start[at]
        at += is_extension
    return at >= len(start) == MAX_GIF_PREFIX_BYTES


def _tiff_is_costly(file: Readable | BinaryIO) -> bool:
    """Tell whether its fields have more numbers than MAX_TIFF_NUMBERS; text and bytes (types 1, 2, 7) do not count."""
    fields = list(_tiff_fields(file, read_at(file, 0, 64)))
    numbers = sum(count for _, kind, count, _ in fields if kind not in (1, 2, 7))
    return len(fields) == MAX_HEADER_PARTS or numbers > MAX_TIFF_NUMBERS


_IS_COSTLY: dict[str, Callable[[Readable | BinaryIO], bool]] = {
    "GIF": _gif_is_costly,
    "TIFF": _tiff_is_costly,
    "AVIF": isobmff.is_costly,
    "HEIF": isobmff.is_costly,
}
