"""Files that are small and cost much: memory or time of a decoder without limits."""

import functools
import io
import struct
import zlib
from collections.abc import Callable

import pillow_heif
from PIL import Image

from tests.engine.pictures import encoded, png, scene

SIXTEEN_MB = 16 * 2**20


@functools.cache
def slow_png() -> bytes:
    """Return a PNG that takes 0.8 s: no header shows that, and no limit forbids it."""
    return png((10000, 5000), 8, 6, bytes(5000 * (1 + 4 * 10000)))


# --- HEIC: grids, and grids of grids --------------------------------------------------------------------------

TILE_PX = 1024


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def _full(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, bytes([version]), flags.to_bytes(3), *parts)


def _tile() -> tuple[bytes, bytes]:
    """Return a HEVC picture of one colour, TILE_PX a side: its configuration (hvcC) and its bytes."""
    file = io.BytesIO()
    heif = pillow_heif.from_bytes("RGB", (TILE_PX, TILE_PX), bytes(3 * TILE_PX**2))
    heif.save(file, quality=1, enc_params={"preset": "ultrafast"})
    data = file.getvalue()
    at = data.index(b"hvcC") - 4
    configuration = data[at : at + int.from_bytes(data[at : at + 4])]
    return configuration, data[data.index(b"mdat") + 4 :]


def _cut(width: int, height: int) -> bytes:
    """Clean aperture: the middle of a picture is all that is shown."""
    return _box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


def _heic(grids: list[tuple[int, int, list[int]]], properties: dict[int, list[int]], boxes: list[bytes]) -> bytes:
    """Return a HEIC of one tile (item 1) and of grids (items 2 …): rows, columns, items. The last one is what is shown.

    `properties`: the numbers of the boxes that belong to each item; box 1 is the tile's configuration.
    """
    configuration, tile = _tile()
    data = b"".join(
        struct.pack(">4BII", 0, 1, rows - 1, columns - 1, columns * TILE_PX, rows * TILE_PX)
        for rows, columns, _ in grids
    )
    count = 1 + len(grids)
    kinds = [b"hvc1"] + [b"grid"] * len(grids)
    entries = [
        _full(b"infe", 2, 0, struct.pack(">HH", item, 0), kind, b"\0") for item, kind in enumerate(kinds, start=1)
    ]
    references = [
        _box(b"dimg", struct.pack(f">HH{len(items)}H", item, len(items), *items))
        for item, (_, _, items) in enumerate(grids, start=2)
    ]
    associations = b"".join(
        struct.pack(">HB", item, len(numbers)) + bytes(number | 0x80 for number in numbers)
        for item, numbers in properties.items()
    )

    def whole(tile_at: int) -> bytes:
        places = struct.pack(">HHHHII", 1, 0, 0, 1, tile_at, len(tile))
        places += b"".join(struct.pack(">HHHHII", 2 + n, 1, 0, 1, 12 * n, 12) for n in range(len(grids)))
        meta = _full(
            b"meta",
            0,
            0,
            _full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            _full(b"pitm", 0, 0, struct.pack(">H", count)),
            _full(b"iloc", 1, 0, b"\x44\0", struct.pack(">H", count), places),
            _full(b"iinf", 0, 0, struct.pack(">H", count), *entries),
            _full(b"iref", 0, 0, *references),
            _box(
                b"iprp",
                _box(b"ipco", configuration, *boxes),
                _full(b"ipma", 0, 0, struct.pack(">I", len(properties)), associations),
            ),
            _box(b"idat", data),
        )
        return _box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta + _box(b"mdat", tile)

    return whole(len(whole(0)) - len(tile))


def _size(width: int, height: int) -> bytes:
    return _full(b"ispe", 0, 0, struct.pack(">II", width, height))


def heic_grid(side: int = 31) -> bytes:
    """Return a canvas of 31,744 pixels a side of one repeated tile; its sizes claim that one tile is shown."""
    tile = _size(TILE_PX, TILE_PX)
    return _heic([(side, side, [1] * side**2)], {1: [1, 2], 2: [2, 3]}, [tile, _cut(TILE_PX, TILE_PX)])


def heic_grids(levels: int = 4, side: int = 4) -> bytes:
    """Grids of grids, each cut to one tile: each level costs 16 times the one before."""
    grids = [(side, side, [1 + level] * side**2) for level in range(levels)]
    tile = _size(TILE_PX, TILE_PX)
    properties = {1: [1, 2]} | {2 + level: [2, 3] for level in range(levels)}
    return _heic(grids, properties, [tile, _cut(TILE_PX, TILE_PX)])


def heic_of_backward_boxes(count: int = 1000) -> bytes:
    """Return boxes of references that end before their content begins: 16 bytes of head, and a length of 9."""
    references = (struct.pack(">I4sQ", 1, b"dimg", 9) + bytes(1)) * count
    meta = _full(b"meta", 0, 0, _full(b"iinf", 0, 0, bytes(2)), _full(b"iref", 0, 0, references))
    file = _box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta
    return file + _box(b"mdat", bytes(SIXTEEN_MB - 1000 - len(file)))


# --- Metadata -------------------------------------------------------------------------------------------------


def exif(numbers: int = 2_000_000) -> bytes:
    """Return a TIFF folder whose orientation is so many rational numbers."""
    return b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x112, 5, numbers, 26, 0) + b"\0\0\0\1\0\0\0\2" * numbers


def tiff_of_rationals(numbers: int = 2_000_000) -> bytes:
    """Return a TIFF of 16 x 16 pixels, whose resolution is so many rational numbers."""
    fields = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: 256}
    folder = 8 + 256
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items()]
    end = folder + 2 + 12 * (len(entries) + 1) + 4
    entries.append(struct.pack("<HHII", 0x11A, 5, numbers, end))
    head = b"II*\0" + struct.pack("<I", folder) + bytes(256)
    return head + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + b"\1\0\0\0\2\0\0\0" * numbers


def png_of_rationals() -> bytes:
    return png((16, 16), 8, 0, bytes(16 * 17), (b"eXIf", exif()))


def jpeg_of_rationals() -> bytes:
    """In as many APP1 segments as they need."""
    data, body = encoded(scene(16, 16), "JPEG"), exif()
    most = 65533 - 6
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    segments = [b"\xff\xe1" + struct.pack(">H", 8 + len(part)) + b"Exif\0\0" + part for part in parts]
    return data[:2] + b"".join(segments) + data[2:]


def webp_of_rationals() -> bytes:
    file = io.BytesIO()
    scene(16, 16).save(file, "WEBP", exif=exif())
    return file.getvalue()


def gif_of_comments(size: int = SIXTEEN_MB - 1000) -> bytes:
    """Comments in blocks of one byte."""
    data = encoded(scene(16, 16), "GIF")
    first = data.index(b",", 13 + (3 << (data[10] & 7) + 1))
    return data[:first] + b"!\xfe" + b"\1x" * (size // 2) + b"\0" + data[first:]


# --- Processor time -------------------------------------------------------------------------------------------


def png_of_chunks(count: int = 1_000_000) -> bytes:
    """Private chunks with nothing in them."""
    data = encoded(scene(16, 16), "PNG")
    empty = struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    return data[:33] + empty * count + data[33:]


def jpeg_of_scans(count: int = 90) -> bytes:
    """Return a progressive JPEG that repeats its last scan so often."""
    data = encoded(Image.new("L", (6000, 6000)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + data[-2:]


def bmp_of_runs(width: int = 4000, height: int = 2000) -> bytes:
    """Return a BMP whose runs are one pixel long."""
    rows = (b"\1\0" * width + b"\0\0") * height
    head = struct.pack("<IIIHHIIIIII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(rows), 0, 0, 54 + 1024) + head + bytes(1024) + rows


BOMBS: dict[str, Callable[[], bytes]] = {
    "heic, a grid": heic_grid,
    "heic, grids of grids": heic_grids,
    "tiff, rationals": tiff_of_rationals,
    "png, rationals": png_of_rationals,
    "jpeg, rationals": jpeg_of_rationals,
    "webp, rationals": webp_of_rationals,
    "gif, comments": gif_of_comments,
    "png, chunks": png_of_chunks,
    "jpeg, scans": jpeg_of_scans,
    "bmp, runs": bmp_of_runs,
}
