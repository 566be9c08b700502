"""Read the boxes of HEIC and AVIF (ISO/IEC 14496-12 and 23008-12): sizes, items and colours. Runs no codec."""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from engine.images.limits import MAX_HEADER_PARTS, MAX_HEIF_ITEMS

Size = tuple[int, int]
Span = tuple[int, int]  # where the content of a box begins and ends
_NOWHERE = (0, 0)


class Readable(Protocol):
    """An open file, Django's or Python's."""

    def read(self, num_bytes: int, /) -> bytes:
        """Return up to that many bytes."""

    def seek(self, offset: int, whence: int, /) -> object:
        """Move to a place in the file."""

    def tell(self) -> int:
        """Return the place in the file."""


@dataclass(frozen=True)
class Av1:
    """How the codec keeps a picture, by `av1C` (AV1-ISOBMFF, 2.3)."""

    bits: int
    chroma: float  # samples of both colour planes, for each of the brightness


def size(file: Readable | BinaryIO) -> Size:
    """Return the largest of the sizes that items have (`ispe`), and of those that are put together of others."""
    boxes = _meta(file)
    sizes = [(0, 0), *_composed(file, boxes)]
    for kind, at, _ in _boxes(file, *_inside(_boxes(file, *boxes[b"iprp"]))[b"ipco"]):
        if kind == b"ispe":
            sizes.append(struct.unpack(">II", read_at(file, at + 4, 8)))
    return max(sizes, key=lambda size: size[0] * size[1])


def is_costly(file: Readable | BinaryIO) -> bool:
    """Tell whether it has more items than MAX_HEIF_ITEMS, or a grid of grids."""
    boxes = _meta(file)
    kinds = dict(_items(file, boxes))
    composed = {item for item, kind in kinds.items() if kind in (b"grid", b"iovl", b"iden")}
    made_of = [others for item, others in _references(file, boxes) if item in composed]
    if len(kinds) > MAX_HEIF_ITEMS or sum(map(len, made_of)) > MAX_HEIF_ITEMS:
        return True
    return any(composed.intersection(others) for others in made_of)


def code_points(file: Readable | BinaryIO) -> tuple[int, int] | None:
    """Return primaries and transfer of the picture that is shown; None where the file does not name them."""
    boxes, properties = _properties(file)
    primary = _content(file, boxes.get(b"pitm", _NOWHERE), 8)
    shown = int.from_bytes(primary[4:8] if primary[:1] > b"\0" else primary[4:6])
    for number in _associations(file, boxes).get(shown, ()):
        name, span = properties[number - 1] if 0 < number <= len(properties) else (b"", _NOWHERE)
        content = _content(file, span, 8)
        if name == b"colr" and content[:4] == b"nclx":
            primaries, transfer = struct.unpack(">HH", content[4:8])
            return primaries, transfer
    return None


def av1(file: Readable | BinaryIO) -> Av1:
    """Return the worst of the pictures and tiles in the file."""
    found = [_content(file, span, 4) for name, span in _properties(file)[1] if name == b"av1C"]
    bits, chroma = [], []
    for flags in (content[2] for content in found if len(content) == 4):
        is_grey, across, down = flags & 0x10, flags & 0x08, flags & 0x04
        bits.append((12 if flags & 0x20 else 10) if flags & 0x40 else 8)
        chroma.append(0.0 if is_grey else 2 / ((2 if across else 1) * (2 if down else 1)))
    return Av1(max(bits, default=12), max(chroma, default=2.0))


def read_at(file: Readable | BinaryIO, begin: int, count: int) -> bytes:
    """Return up to `count` bytes from that place of the file."""
    file.seek(begin, os.SEEK_SET)
    return file.read(count)


def _content(file: Readable | BinaryIO, span: Span, most: int) -> bytes:
    """Return the first `most` bytes of the content."""
    return read_at(file, span[0], min(span[1] - span[0], most))


def _properties(file: Readable | BinaryIO) -> tuple[dict[bytes, Span], list[tuple[bytes, Span]]]:
    """Return what describes the items, and the properties of all of them; nothing where the file has none."""
    try:
        boxes = _meta(file)
        begin, end = _inside(_boxes(file, *boxes[b"iprp"]))[b"ipco"]
    except KeyError:
        return {}, []
    return boxes, [(name, (at, to)) for name, at, to in _boxes(file, begin, end)]


def _associations(file: Readable | BinaryIO, boxes: dict[bytes, Span]) -> dict[int, list[int]]:
    """Return the numbers of the properties of each item, counted from 1."""
    span = _inside(_boxes(file, *boxes.get(b"iprp", _NOWHERE))).get(b"ipma", _NOWHERE)
    data = _content(file, span, 2**20)  # more than MAX_HEADER_PARTS items can take
    if len(data) < 8:
        return {}
    wide_items, wide_numbers = 4 if data[0] else 2, 2 if data[3] & 1 else 1
    found: dict[int, list[int]] = {}
    at = 8
    for _ in range(min(int.from_bytes(data[4:8]), MAX_HEADER_PARTS)):
        item, count = int.from_bytes(data[at : at + wide_items]), data[at + wide_items]
        at += wide_items + 1
        mask = (1 << 8 * wide_numbers - 1) - 1  # the first bit says whether a property is essential
        steps = range(at, at + count * wide_numbers, wide_numbers)
        found[item] = [int.from_bytes(data[step : step + wide_numbers]) & mask for step in steps]
        at += count * wide_numbers
    return found


def _meta(file: Readable | BinaryIO) -> dict[bytes, Span]:
    """Return what is in the box that describes the items."""
    file.seek(0, os.SEEK_END)
    begin, end = _inside(_boxes(file, 0, file.tell()))[b"meta"]
    return _inside(_boxes(file, begin + 4, end))


def _inside(boxes: Iterator[tuple[bytes, int, int]]) -> dict[bytes, Span]:
    """Return the first box of each name."""
    found: dict[bytes, Span] = {}
    for name, begin, end in boxes:
        found.setdefault(name, (begin, end))
    return found


def _composed(file: Readable | BinaryIO, boxes: dict[bytes, Span]) -> Iterator[Size]:
    """Yield the sizes of the grids (ISO/IEC 23008-12, 6.6.2.3.2): decoders make the whole before they cut it."""
    grids = {item for item, kind in _items(file, boxes) if kind == b"grid"}
    if grids:
        for item, at in _places(file, boxes):
            if item in grids:
                _, flags, _, _, *size = struct.unpack(">4BHH", read_at(file, at, 8))
                yield struct.unpack(">II", read_at(file, at + 4, 8)) if flags & 1 else (size[0], size[1])


def _items(file: Readable | BinaryIO, boxes: dict[bytes, Span]) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the kind of each item."""
    begin, end = boxes.get(b"iinf", _NOWHERE)
    counted = 4 + (4 if read_at(file, begin, 1) > b"\0" else 2) if end else 0
    for name, at, _ in _boxes(file, begin + counted, end, MAX_HEIF_ITEMS + 1):
        entry = read_at(file, at, 14)
        if name == b"infe" and entry[0] in (2, 3):
            width = 2 if entry[0] == 2 else 4
            yield int.from_bytes(entry[4 : 4 + width]), entry[6 + width : 10 + width]


def _places(file: Readable | BinaryIO, boxes: dict[bytes, Span]) -> Iterator[tuple[int, int]]:
    """Yield the id of each item, and where in the file its first bytes are."""
    data = io.BytesIO(_content(file, boxes[b"iloc"], 64 * MAX_HEIF_ITEMS))

    def number(width: int) -> int:
        return int.from_bytes(data.read(width))

    version, _, offset_length, base_index = data.read(1)[0], data.read(3), number(1), number(1)
    wide = 4 if version == 2 else 2
    for _ in range(min(number(wide), MAX_HEIF_ITEMS)):
        item, method = number(wide), number(2) & 15 if version else 0
        number(2)  # which file
        base = number(base_index >> 4)
        extents = [
            (number(base_index & 15 if version else 0), number(offset_length >> 4), number(offset_length & 15))
            for _ in range(min(number(2), MAX_HEIF_ITEMS))
        ]
        if extents:
            yield item, base + extents[0][1] + (boxes.get(b"idat", _NOWHERE)[0] if method == 1 else 0)


def _references(file: Readable | BinaryIO, boxes: dict[bytes, Span]) -> Iterator[tuple[int, list[int]]]:
    """Yield the items that are made of others, and those others."""
    begin, end = boxes.get(b"iref", _NOWHERE)
    wide = 4 if end and read_at(file, begin, 1) > b"\0" else 2
    for name, at, to in _boxes(file, begin + 4, end, MAX_HEIF_ITEMS + 1):
        if name == b"dimg":
            ids = _content(file, (at, to), wide * (MAX_HEIF_ITEMS + 2))
            others = [int.from_bytes(ids[n : n + wide]) for n in range(wide + 2, len(ids), wide)]
            yield int.from_bytes(ids[:wide]), others


def _boxes(
    file: Readable | BinaryIO, begin: int, end: int, most: int = MAX_HEADER_PARTS
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes side by side: the name, and where the content begins and ends."""
    for _ in range(most):
        if begin + 8 > end:
            return
        file.seek(begin, os.SEEK_SET)
        length, name, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        content = begin + (16 if length == 1 else 8)
        length = large if length == 1 else length or end - begin
        yield name, content, max(content, min(begin + length, end))
        begin += max(length, 8)
