"""Repair files that end too soon or hold wrong checksums, so that decoders read what is there."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from engine.errors import BadImage
from engine.images.memory import jpeg_segments

LEAST_SHARE = 0.7  # of the rows; a picture with fewer is refused
_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xda"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xae\x42\x60\x82"
_ZEROS = bytes(64)
# libjpeg fills missing values with the middle of the range; CMYK is stored inverted.
_UNKNOWN = ((128, 128), (127, 127))
_ANIMATION = {b"acTL", b"fcTL"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its colour type
_ADAM7 = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))
_COPY_THE_ROW_ABOVE = b"\2"  # the filter "Up" with differences of zero
_STEP = 2**14


@dataclass(frozen=True)
class Repaired:
    """A file that decoders accept, and the share of its rows that is there; None where only its pixels show that."""

    data: bytes
    share: float | None


def repaired(data: bytes) -> Repaired | None:
    """Return a readable file for a JPEG or PNG that cannot be decoded; None if nothing can be repaired."""
    if data.startswith(_JPEG_START):
        return _jpeg(data)
    return _png(data) if data.startswith(_PNG_START) else None


def check_end(data: bytes) -> None:
    """Raise ValueError for a JPEG that ends in zeros instead of an end marker: decoders take the zeros for pixels."""
    is_jpeg = data.startswith(_JPEG_START) and data.endswith(_ZEROS)
    if is_jpeg and data.rfind(_JPEG_END) < data.rfind(b"\xff" + _JPEG_SCAN):
        raise ValueError("the copy of the file was interrupted")


def check_share(share: float) -> None:
    """Raise BadImage `corrupt` if the share of the rows is below LEAST_SHARE."""
    if share < LEAST_SHARE:
        part = f"Only {share:.0%} of the picture" if share else "Nothing of the picture"
        raise BadImage("corrupt", f"{part} is in the file; save it again and send the new file.")


# --- JPEG -----------------------------------------------------------------------------------------------------


def _jpeg(data: bytes) -> Repaired | None:
    """Return the file with an end marker after the last scan; a segment that is cut goes."""
    end, is_there = len(data.rstrip(b"\0")), False
    for kind, at in jpeg_segments(data):
        if at + max(2, int.from_bytes(data[at : at + 2])) > end:
            end = min(end, at - 2)
            break
        is_there |= kind == _JPEG_SCAN
    return Repaired(data[:end] + _JPEG_END, None) if is_there else None


def share_of_jpeg(picture: Image.Image) -> float:
    """Return what share of the rows of a decoded JPEG its file had."""
    low, high = 0, picture.height  # rows above `low` are there, rows from `high` on are not
    while low < high:
        row = (low + high) // 2
        part = picture.crop((0, row, picture.width, high))
        if all(band.getextrema() in _UNKNOWN for band in part.split()):
            high = row
        else:
            low = row + 1
    return high / picture.height


# --- PNG ------------------------------------------------------------------------------------------------------


def _png(data: bytes) -> Repaired | None:
    """Return the file without the chunks whose checksums are wrong; rows that are missing repeat the last one."""
    kept, parts, is_odd = [_PNG_START], [], False
    for name, chunk, content, is_right in _chunks(data):
        is_optional = bool(name[:1].islower())
        if name == b"IDAT":
            parts.append(content)
        elif is_right and not parts and name not in _ANIMATION:
            kept.append(chunk)
        elif not is_optional and name != b"IEND":
            return None
        is_odd |= not is_right
    if len(kept) < 2 or len(kept[1]) != 25 or not parts:
        return None
    packed, share = _filled(parts, _rows(kept[1][8:]))
    if share == 1 and not is_odd and data.endswith(_PNG_END):
        return None
    pixels = b"IDAT" + packed
    chunk = len(packed).to_bytes(4) + pixels + zlib.crc32(pixels).to_bytes(4)
    return Repaired(b"".join((*kept, chunk, _PNG_END)), share)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Name, whole and content of each chunk, and whether its checksum is right; the last one may be cut."""
    at = len(_PNG_START)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        chunk = data[at : at + 12 + length]
        yield chunk[4:8], chunk, chunk[8 : 8 + length], zlib.crc32(chunk[4:-4]).to_bytes(4) == chunk[8 + length :]
        at += len(chunk)


def _rows(header: bytes) -> list[tuple[int, int]]:
    """Yield the number of rows and the bytes per row of each pass."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _CHANNELS[header[9]]
    passes = _ADAM7 if header[12] else ((1, 1, 0, 0),)
    sizes = [(-(-(height - top) // down), -(-(width - left) // across)) for across, down, left, top in passes]
    return [(rows, 1 + -(-columns * bits // 8)) for rows, columns in sizes if rows > 0 and columns > 0]


def _filled(parts: list[bytes], passes: list[tuple[int, int]]) -> tuple[bytes, float]:
    """Return the compressed pixels with the rows that are missing, and what share of the rows was there.

    Raises BadImage `corrupt` where too few are there. Of an interlaced picture that is every second row.
    """
    packer, whole = zlib.compressobj(1), sum(rows * stride for rows, stride in passes)
    made, count = [], 0
    for part in _unpacked(parts, whole):
        made.append(packer.compress(part))
        count += len(part)
    rows, stride = passes[-1]
    of_last = max(0, count - (whole - rows * stride))
    check_share(of_last // stride / rows)
    made.append(packer.compress(bytes(-of_last % stride)))
    row = _COPY_THE_ROW_ABOVE.ljust(stride, b"\0")
    made.extend(packer.compress(row) for _ in range(rows - -(-of_last // stride)))
    return b"".join((*made, packer.flush())), of_last // stride / rows


def _unpacked(parts: list[bytes], most: int) -> Iterator[bytes]:
    """Decompress as much as there is, at most `most` bytes."""
    unpacker = zlib.decompressobj()
    for part in parts:
        for at in range(0, len(part), _STEP):
            packed = part[at : at + _STEP]
            while packed and most > 0:
                try:
                    unpacked = unpacker.decompress(packed, min(16 * _STEP, most))
                except zlib.error:
                    return
                yield unpacked
                most -= len(unpacked)
                packed = unpacker.unconsumed_tail
