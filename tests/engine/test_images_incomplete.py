"""Files that end too soon: what is there is read and marked, and what is too little is refused."""

import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageOps

from engine.errors import BadImage
from engine.images.decoding import decode, is_incomplete
from tests.engine.looks import colour_at, difference
from tests.engine.pictures import WHITE, encoded, noise, oriented, png
from tests.engine.truths import RIGHT, distance, given, truth, with_chunks

JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "baseline, 4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "progressive, 4:2:0": {"progressive": True, "subsampling": 2},
    "optimised": {"optimize": True},
    "with restarts": {"restart_marker_blocks": 4},
}
every_jpeg = pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
every_mode = pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])


def photo(width: int = 320, height: int = 240) -> Image.Image:
    """Return a picture with as many bytes in each row as in any other."""
    return Image.blend(truth(width, height), noise(width, height), 0.2)


def rows_there(picture: Image.Image, whole: Image.Image) -> float:
    """Return what share of the rows from the top shows the picture."""
    for row in range(0, picture.height, 2):
        strip = (0, row, picture.width, row + 2)
        if difference(picture.crop(strip), whole.crop(strip)) > 12:
            return row / picture.height
    return 1.0


def refused(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data)
    assert caught.value.code == "corrupt"
    return str(caught.value)


@pytest.mark.parametrize("name", ["noeoi.jpg", "cut1pct.jpg"])
def test_the_given_files_show_the_truth(name: str) -> None:
    decoded = decode(given(name).read_bytes())
    assert is_incomplete(decoded)
    assert distance(decoded, Image.open(given("truth.png"))) < RIGHT


# --- JPEG -----------------------------------------------------------------------------------------------------


@every_jpeg
@every_mode
@pytest.mark.parametrize("ending", [b"", b"\xff", bytes(5000)], ids=["nothing", "half a marker", "zeros"])
def test_without_its_end_marker_a_jpeg_is_shown_whole(options: dict[str, Any], mode: str, ending: bytes) -> None:
    data = encoded(truth(317, 203).convert(mode), "JPEG", **options)
    assert data.endswith(b"\xff\xd9")
    decoded, whole = decode(data[:-2] + ending), decode(data)
    assert is_incomplete(decoded)
    assert not is_incomplete(whole)
    assert decoded.tobytes() == whole.tobytes()


@pytest.mark.parametrize("options", [JPEGS["baseline"], JPEGS["baseline, 4:2:0"], JPEGS["with restarts"]])
@every_mode
@pytest.mark.parametrize("share", [0.99, 0.95, 0.9, 0.8])
def test_a_jpeg_cut_in_its_last_rows_shows_the_others(options: dict[str, Any], mode: str, share: float) -> None:
    data = encoded(photo().convert(mode), "JPEG", **options)
    decoded = decode(data[: int(len(data) * share)])
    assert decoded.size == (320, 240)
    assert is_incomplete(decoded)
    assert share - 0.1 < rows_there(decoded, decode(data)) < share + 0.05
    if share < 0.9:
        assert colour_at(decoded, 5, 239) == WHITE


@every_jpeg
def test_zeros_in_place_of_the_last_rows_are_no_rows(options: dict[str, Any]) -> None:
    data = encoded(photo(), "JPEG", **options)
    length = int(len(data) * 0.85)
    decoded = decode(data[:length].ljust(len(data), b"\0"))
    assert is_incomplete(decoded)
    assert decoded.tobytes() == decode(data[:length]).tobytes()


def test_zeros_after_the_end_of_a_jpeg_are_no_damage() -> None:
    decoded = decode(encoded(photo(), "JPEG") + bytes(5000))
    assert not is_incomplete(decoded)


@every_mode
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6])
def test_a_jpeg_with_too_few_of_its_rows_is_refused(mode: str, share: float) -> None:
    data = encoded(photo().convert(mode), "JPEG")
    assert "of the picture is in the file" in refused(data[: int(len(data) * share)])


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("scans", [2, 3, 5, 8])
def test_a_progressive_jpeg_without_its_later_scans_is_shown(scans: int, subsampling: int) -> None:
    data = encoded(truth(), "JPEG", progressive=True, subsampling=subsampling)
    at = -1
    for _ in range(scans + 1):
        at = data.index(b"\xff\xda", at + 1)
    for cut in (data[:at], data[: at + 4]):  # before a scan, and in its header
        decoded = decode(cut)
        assert is_incomplete(decoded)
        assert distance(decoded, truth()) < 6


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_a_progressive_jpeg_cut_anywhere_after_its_first_scan_has_all_rows(share: float) -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    decoded = decode(data[: int(len(data) * share)])
    assert is_incomplete(decoded)
    assert colour_at(decoded, 5, 239) != WHITE
    assert distance(decoded, photo()) < 6


def test_a_progressive_jpeg_cut_in_its_first_scan_is_refused() -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xc4", first)
    refused(data[: first + (second - first) // 2])


def test_a_jpeg_without_pixels_is_refused() -> None:
    data = encoded(photo(), "JPEG")
    refused(data[: data.index(b"\xff\xda")])


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_what_is_missing_turns_with_the_picture(orientation: int) -> None:
    data = oriented(photo(), "JPEG", orientation)
    upright = decode(data[: int(len(data) * 0.85)])
    assert upright.size == (320, 240)
    corner = {3: (160, 0), 6: (0, 120), 8: (319, 120)}[orientation]
    assert colour_at(upright, *corner) == WHITE
    assert is_incomplete(upright)


@pytest.mark.parametrize("within_px", [320, 160, 80])
def test_a_reduced_picture_is_as_incomplete(within_px: int) -> None:
    data = encoded(photo(640, 480), "JPEG")
    decoded = decode(data[: int(len(data) * 0.9)], within_px=within_px)
    assert max(decoded.size) == within_px
    assert is_incomplete(decoded)
    whole = decode(data, within_px=within_px)
    assert difference(*(ImageOps.crop(p, (0, 0, 0, p.height // 5)) for p in (decoded, whole))) < 1
    refused(data[: int(len(data) * 0.5)])


# --- PNG ------------------------------------------------------------------------------------------------------


def small_chunks(data: bytes, size: int) -> bytes:
    """Return the same PNG with its pixels in chunks of that size."""
    begin, end, pixels = data.index(b"IDAT") - 4, len(data) - 12, b""
    at = begin
    while at < end:
        length = int.from_bytes(data[at : at + 4])
        pixels += data[at + 8 : at + 8 + length]
        at += 12 + length
    parts = [pixels[n : n + size] for n in range(0, len(pixels), size)]
    made = (struct.pack(">I", len(p)) + b"IDAT" + p + zlib.crc32(b"IDAT" + p).to_bytes(4) for p in parts)
    return data[:begin] + b"".join(made) + data[end:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
@pytest.mark.parametrize("size", [(320, 240), (97, 64)])
@pytest.mark.parametrize("chunk", [10**9, 500])
def test_a_png_cut_in_its_last_rows_shows_the_others(mode: str, size: tuple[int, int], chunk: int) -> None:
    if mode == "I;16":
        picture = Image.frombytes(mode, size, noise(*size).tobytes()[: size[0] * size[1] * 2])
    else:
        picture = noise(*size).convert(mode)
    data = encoded(picture, "PNG")
    data = small_chunks(data, chunk)
    whole = decode(data)
    for share in (0.97, 0.9, 0.75):
        decoded = decode(data[: int(len(data) * share)])
        assert is_incomplete(decoded)
        there = int(share * 0.97 * size[1])
        assert decoded.crop((0, 0, size[0], there)).tobytes() == whole.crop((0, 0, size[0], there)).tobytes()
        if share < 0.9:
            assert colour_at(decoded, 3, size[1] - 1) == WHITE
    refused(data[: int(len(data) * 0.6)])


def interlaced(picture: Image.Image) -> bytes:
    """Return a PNG in seven passes, which Pillow does not write."""
    passes = ((8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1))
    width, height, rows = *picture.size, b""
    for across, down, left, top in passes:
        for y in range(top, height, down):
            rows += b"\0" + b"".join(bytes(colour_at(picture, x, y)) for x in range(left, width, across))
    data = png(picture.size, 8, 2, rows)
    header = data[12:28] + b"\1"
    return data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]


def test_an_interlaced_png_cut_at_its_end_shows_what_is_there() -> None:
    picture = noise(64, 48)
    data = interlaced(picture)
    assert decode(data).tobytes() == picture.tobytes()
    decoded = decode(data[: int(len(data) * 0.92)])  # a sixth of the last pass, which is every second row
    assert is_incomplete(decoded)
    assert decoded.crop((0, 0, 64, 38)).tobytes() == picture.crop((0, 0, 64, 38)).tobytes()
    refused(data[: int(len(data) * 0.7)])


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs", b"eXIf"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_wrong_checksum_beside_the_pixels_does_not_cost_the_picture(name: bytes, where: str) -> None:
    body = {b"tEXt": b"k\0text", b"zTXt": b"k\0\0" + zlib.compress(b"text"), b"iTXt": b"k\0\0\0\0\0text"}.get(
        name, bytes(9)
    )
    wrong = struct.pack(">I", len(body)) + name + body + (zlib.crc32(name + body) ^ 1).to_bytes(4)
    data = encoded(truth(97, 64), "PNG")
    at = 33 if where == "before" else len(data) - 12
    decoded = decode(data[:at] + wrong + data[at:])
    assert decoded.tobytes() == truth(97, 64).tobytes()
    assert is_incomplete(decoded) or where == "after"  # nobody looks at what comes after the pixels


def test_a_png_without_its_end_is_read() -> None:
    data = encoded(truth(97, 64), "PNG")
    for cut in (data[:-12], data[:-4]):
        assert decode(cut).tobytes() == truth(97, 64).tobytes()


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_what_the_pixels_need_is_refused(name: bytes) -> None:
    data = bytearray(encoded(noise().quantize(16), "PNG"))
    at = data.index(name)
    data[at + 4 + int.from_bytes(data[at - 4 : at])] ^= 1
    refused(bytes(data))


def test_what_a_cut_png_says_of_its_colours_still_counts() -> None:
    picture = noise(97, 64)
    data = with_chunks(encoded(picture, "PNG"), (b"gAMA", struct.pack(">I", 100000)))
    whole, decoded = decode(data), decode(data[: int(len(data) * 0.9)])
    assert whole.tobytes() != picture.tobytes()
    assert decoded.crop((0, 0, 97, 54)).tobytes() == whole.crop((0, 0, 97, 54)).tobytes()


@pytest.mark.parametrize("name", ["WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_other_formats_are_refused_when_they_are_cut(name: str) -> None:
    data = encoded(noise(), name)
    refused(data[: int(len(data) * 0.95)])
