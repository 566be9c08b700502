"""Estimate from a file's header the time and the memory that decoding takes."""

import re
from collections.abc import Iterator

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from engine.images.limits import MAX_DECODING_BYTES, MAX_JPEG_SCANS, MAX_JPEG_SEGMENTS, MAX_PNG_CHUNKS

_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # without the markers that stand alone
_JPEG_SCAN, _JPEG_END = b"\xda", b"\xd9"

# With everything around it MAX_DECODING_BYTES is 250 MB. Some codecs hold a picture several times, so their formats may
# have fewer pixels: bytes per pixel, measured for the worst case (4:4:4, animation, film grain). Other formats take 4
# bytes for Pillow's own picture; the upright RGB picture that is made of it may take 4 more.
_WEBP, _AVIF = 17.0, 18.0
_HEIF = {(8, "RGB"): 8.9, (8, "RGBA"): 12.4, (16, "RGB"): 15.6, (16, "RGBA"): 20.4}  # by bits (16: more than 8), mode
_PIXEL_BYTES = 4.0
_LITTLE_SMALLER = 2  # up to this factor a picture takes its memory on top of what its codec holds


def is_plain(data: bytes) -> bool:
    """Return whether the file is free of the repetitions that make a small one take seconds to hours."""
    if data.startswith(b"\x89PNG"):
        at, chunks = 8, 0
        while at < len(data) and chunks <= MAX_PNG_CHUNKS:
            at += 12 + int.from_bytes(data[at : at + 4])
            chunks += 1
        return chunks <= MAX_PNG_CHUNKS
    if data.startswith(b"\xff\xd8"):
        scans = 0
        for count, (kind, _) in enumerate(jpeg_segments(data), start=1):
            scans += kind == _JPEG_SCAN
            if scans > MAX_JPEG_SCANS or count > MAX_JPEG_SEGMENTS:
                return False
    return True


def most_pixels(picture: Image.Image, data: bytes, factor: int) -> int:
    """Return how many pixels a picture with such a header may have, so that decoding takes at most MAX_DECODING_BYTES.

    `picture` is opened and not loaded, `data` is its file; it will be made `factor` times smaller.
    Raises whatever a senseless header makes it raise.
    """
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        return int(MAX_DECODING_BYTES / _jpeg_bytes_per_pixel(picture, data, factor))
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        loaded = _tiff_bytes_per_pixel(picture)
    elif picture.format == "HEIF":
        loaded = _HEIF[8 if picture.info.get("bit_depth") == 8 else 16, "RGBA" if "A" in picture.mode else "RGB"]
    else:
        loaded = {"WEBP": _WEBP, "AVIF": _AVIF}.get(picture.format or "", _PIXEL_BYTES)
    made = _PIXEL_BYTES / factor**2
    # A codec's copies and the picture that is made exist side by side; a small one does not count.
    needed = loaded + made if factor <= _LITTLE_SMALLER else max(loaded, _PIXEL_BYTES + made)
    return int(MAX_DECODING_BYTES / needed)


def _jpeg_bytes_per_pixel(picture: JpegImagePlugin.JpegImageFile, data: bytes, factor: int) -> float:
    """Count libjpeg's coefficients: the whole picture, two bytes each, unless the first scan has all of it."""
    drafted = next(scale for scale in (8, 4, 2, 1) if factor >= scale)  # what Pillow's `draft` makes of it
    made = 2 * _PIXEL_BYTES / drafted**2
    scan = next(at for kind, at in jpeg_segments(data) if kind == _JPEG_SCAN)
    if data[scan + 2] == len(picture.layer) and "progressive" not in picture.info:
        return made
    whole = max(h for _, h, _, _ in picture.layer) * max(v for _, _, v, _ in picture.layer)
    return made + 2 * sum(h * v for _, h, v, _ in picture.layer) / whole


def _tiff_bytes_per_pixel(picture: TiffImagePlugin.TiffImageFile) -> float:
    """Count what libtiff unpacks at once, a strip or a tile: in the worst case the whole picture again."""
    tags = picture.tag_v2
    if picture.info.get("compression") == "raw":
        return _PIXEL_BYTES
    if TiffImagePlugin.TILEWIDTH in tags:
        strip: int = tags[TiffImagePlugin.TILEWIDTH] * tags[TiffImagePlugin.TILELENGTH]
    else:
        rows = tags.get(TiffImagePlugin.ROWSPERSTRIP, picture.height)
        strip = min(rows, picture.height) * picture.width
    bits: int = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))) * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return _PIXEL_BYTES + strip * max(bits, 32) / 8 / max(1, picture.width * picture.height)


def jpeg_segments(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Return the kinds of the segments, and where the two bytes of their length are."""
    at = 0
    while (marker := _JPEG_MARKER.search(data, at)) and marker[1] != _JPEG_END:
        yield marker[1], marker.end()
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
