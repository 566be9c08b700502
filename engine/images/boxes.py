"""What files say of their pictures and Pillow does not pass on: chunks of PNG, properties of AVIF."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST = 1000  # boxes or chunks; real files have tens
_FIRST_CHUNK = 8
Span = memoryview
NOTHING = memoryview(b"")


def png_chunk(data: bytes, wanted: bytes) -> bytes:
    """Return the content of the first chunk of that name before the pixels, or nothing."""
    at = _FIRST_CHUNK
    for _ in range(_MOST):
        length, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if name == wanted:
            return data[at + 8 : at + 8 + length]
        if name in (b"IDAT", b""):
            break
        at += 12 + length
    return b""


@dataclass(frozen=True)
class Av1:
    """How the codec keeps a picture, by `av1C` (AV1-ISOBMFF, 2.3)."""

    bits: int
    chroma: float  # samples of both colour planes, for each of the brightness


def code_points_of_avif(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the picture that is shown; None where the file does not name them."""
    properties, of_items, shown = _items(data)
    for number in of_items.get(shown, ()):
        name, content = properties[number - 1] if 0 < number <= len(properties) else (b"", b"")
        if name == b"colr" and content[:4] == b"nclx":
            primaries, transfer = struct.unpack(">HH", content[4:8])
            return primaries, transfer
    return None


def av1_of_avif(data: bytes) -> Av1:
    """Return the worst of the pictures and tiles in the file."""
    headers = [_av1(content[2]) for name, content in _items(data)[0] if name == b"av1C" and len(content) >= 4]
    bits, chroma = (header.bits for header in headers), (header.chroma for header in headers)
    return Av1(max(bits, default=12), max(chroma, default=2.0))


def _av1(flags: int) -> Av1:
    is_grey, across, down = flags & 0x10, flags & 0x08, flags & 0x04
    chroma = 0.0 if is_grey else 2 / ((2 if across else 1) * (2 if down else 1))
    return Av1((12 if flags & 0x20 else 10) if flags & 0x40 else 8, chroma)


def _items(data: bytes) -> tuple[list[tuple[bytes, Span]], dict[int, list[int]], int]:
    """Return all properties, the numbers of those of each item, and the item that is shown (ISO/IEC 23008-12)."""
    meta = dict(_boxes(dict(_boxes(memoryview(data))).get(b"meta", NOTHING)[4:]))
    parts = dict(_boxes(meta.get(b"iprp", NOTHING)))
    primary = meta.get(b"pitm", NOTHING)
    shown = int.from_bytes(primary[4:8] if bytes(primary[:1]) > b"\0" else primary[4:6])
    return list(_boxes(parts.get(b"ipco", NOTHING))), _associations(parts.get(b"ipma", NOTHING)), shown


def _associations(data: Span) -> dict[int, list[int]]:
    """Return the numbers of the properties of each item, counted from 1."""
    if len(data) < 8:
        return {}
    wide_items, wide_numbers = 4 if data[0] else 2, 2 if data[3] & 1 else 1
    found: dict[int, list[int]] = {}
    at = 8
    for _ in range(min(int.from_bytes(data[4:8]), _MOST)):
        item, count = int.from_bytes(data[at : at + wide_items]), data[at + wide_items]
        at += wide_items + 1
        mask = (1 << 8 * wide_numbers - 1) - 1  # the first bit says whether a property is essential
        steps = range(at, at + count * wide_numbers, wide_numbers)
        found[item] = [int.from_bytes(data[step : step + wide_numbers]) & mask for step in steps]
        at += count * wide_numbers
    return found


def _boxes(data: Span) -> Iterator[tuple[bytes, Span]]:
    """Return the boxes side by side: the name and the content."""
    at = 0
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        length, name, large = struct.unpack(">I4sQ", bytes(data[at : at + 16]).ljust(16, b"\0"))
        content = at + (16 if length == 1 else 8)
        length = large if length == 1 else length or len(data) - at
        yield name, data[content : at + length]
        at += max(length, 8)
