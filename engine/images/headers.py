"""What the first bytes of a picture file say: its format and its size in pixels. Runs no codec and imports no Pillow.

The web process judges uploads by this alone. A file that is refused here is no picture or too large a one; whether
its pixels are whole is known when a worker decodes it.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from engine.errors import BadImage

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
# The fewest bytes a pixel that each codec needs, from `engine.images.memory`; the worker knows the exact number.
MAX_DECODING_BYTES = 220_000_000
BYTES_PER_PIXEL = {"WEBP": 17.0, "AVIF": 18.0, "HEIF": 8.9}
# The search for the size ends here; real files have it among the first.
_MOST_PARTS = 1000
# JPEG's frame headers: SOF0 to SOF15 without the three markers between them that are something else.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Limits:
    """What is accepted: bytes of the file, pixels of the picture, pixels of its longer side.

    Formats whose codec needs much memory get fewer pixels, so that no picture takes more than 250 MB: WebP 12.9
    million, AVIF 12.2, HEIC 24.7 (deep colours 14.1), a progressive JPEG with colours at full resolution 33 (CMYK 25),
    a TIFF compressed in one strip 27.5 (16 bits a channel 18), and what is decoded at full size 27.5. Only the first
    frame is ever read, so frames need no limit.
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


class Readable(Protocol):
    """An open file, Django's or Python's."""

    def read(self, num_bytes: int, /) -> bytes:
        """Return up to that many bytes."""

    def seek(self, offset: int, whence: int, /) -> object:
        """Move to a place in the file."""

    def tell(self) -> int:
        """Return the place in the file."""


@dataclass(frozen=True)
class Header:
    """The format by Pillow's name; the size as it is stored, not turned upright, (0, 0) where it was not found."""

    format: str
    width_px: int
    height_px: int


def check(file: Readable | BinaryIO, limits: Limits) -> Header:
    """Read the header and leave the file at its start.

    Raises BadImage: `empty`, `too_large`, `unsupported_format`, `too_many_pixels`. A known kind of file whose header
    is damaged passes: decoding it fails with `corrupt`.
    """
    file.seek(0, os.SEEK_END)
    check_bytes(file.tell(), limits)
    header = read(file)
    file.seek(0, os.SEEK_SET)
    most = min(limits.max_pixels, int(MAX_DECODING_BYTES / BYTES_PER_PIXEL.get(header.format, 1.0)))
    check_pixels((header.width_px, header.height_px), most, limits)
    return header


def check_bytes(count: int, limits: Limits) -> None:
    """Raise BadImage `empty` or `too_large` unless the size is within the limits."""
    if not count:
        raise BadImage("empty", "The file is empty; choose a picture and send it again.")
    if count > limits.max_bytes:
        most = f"{limits.max_bytes / 2**20:g} MB"
        raise BadImage("too_large", f"The file is larger than {most}; send a smaller one.")


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
    except (struct.error, IndexError, StopIteration):
        width = height = 0
    return Header(name, width, height)


def kind_of(start: bytes) -> str:
    """Return the format of a file that begins like this. Raises BadImage `unsupported_format`."""
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
    """Return the refusal of a picture with more than `most` pixels."""
    allowed = f"{most / 1e6:.3g} megapixels and {limits.max_side_px} pixels a side"
    return BadImage("too_many_pixels", f"The picture is too big; send one of at most {allowed}.")


# --- Where each format keeps its size -------------------------------------------------------------------------

Size = tuple[int, int]


def _jpeg(file: Readable | BinaryIO, start: bytes) -> Size:
    at = 2
    for _ in range(_MOST_PARTS):
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


def _png(file: Readable | BinaryIO, start: bytes) -> Size:
    width, height = struct.unpack(">II", start[16:24])
    return width, height


def _gif(file: Readable | BinaryIO, start: bytes) -> Size:
    width, height = struct.unpack("<HH", start[6:10])
    return width, height


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
    if start[2:4] in (b"+\0", b"\0+"):  # BigTIFF
        return 0, 0
    file.seek(struct.unpack(order + "I", start[4:8])[0], os.SEEK_SET)
    (count,) = struct.unpack(order + "H", file.read(2))
    found = {}
    for _ in range(min(count, _MOST_PARTS)):
        entry = file.read(12)
        tag, kind = struct.unpack(order + "HH", entry[:4])
        found[tag] = struct.unpack(order + ("H" if kind == 3 else "I"), entry[8 : 10 if kind == 3 else 12])[0]
    return found.get(256, 0), found.get(257, 0)


def _isobmff(file: Readable | BinaryIO, start: bytes) -> Size:
    """Return the largest `ispe` box of meta/iprp/ipco: a picture made of tiles is larger than each of them."""
    file.seek(0, os.SEEK_END)
    begin, end = 0, file.tell()
    for name, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        begin, end = next((at + skipped, to) for kind, at, to in _boxes(file, begin, end) if kind == name)
    sizes = [(0, 0)]
    for kind, at, _ in _boxes(file, begin, end):
        if kind == b"ispe":
            file.seek(at + 4, os.SEEK_SET)
            sizes.append(struct.unpack(">II", file.read(8)))
    return max(sizes, key=lambda size: size[0] * size[1])


def _boxes(file: Readable | BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes side by side: the name, and where the content begins and ends."""
    for _ in range(_MOST_PARTS):
        if begin + 8 > end:
            return
        file.seek(begin, os.SEEK_SET)
        length, name, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        content = begin + (16 if length == 1 else 8)
        length = large if length == 1 else length or end - begin
        yield name, content, min(begin + length, end)
        begin += max(length, 8)


_SIZES: dict[str, Callable[[Readable | BinaryIO, bytes], Size]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _isobmff,
    "HEIF": _isobmff,
}
