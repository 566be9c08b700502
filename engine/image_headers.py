"""What the header of a picture file tells of the time and the memory that decoding it would take."""

import re
from collections.abc import Iterator

from PIL import Image, JpegImagePlugin, TiffImagePlugin

# A progressive JPEG that repeats a 70-byte scan up to 16 MB would keep a core busy for two hours, and Pillow
# joins Exif segments in the square of their number. Real files have ten scans and few hundred segments.
MAX_JPEG_SCANS = 100
MAX_JPEG_SEGMENTS = 1000
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # those that stand alone left out
_JPEG_SCAN, _JPEG_END = b"\xda", b"\xd9"

# With what is made of a picture afterwards, 250 MB. Some codecs hold a picture several times, so their formats get
# fewer pixels for it. Bytes per pixel are those measured at the worst (4:4:4, alpha, animation, film grain), rounded
# up; a format that is not here takes the 4 of Pillow's own picture.
MAX_DECODING_BYTES = 220_000_000
_BYTES_PER_PIXEL = {"WEBP": 17.0, "AVIF": 18.0, "HEIF": 8.8}
_PIXEL_BYTES = 4.0


def is_plain(data: bytes) -> bool:
    """Whether the file is free of the repetitions that make a small JPEG take hours."""
    if not data.startswith(b"\xff\xd8"):
        return True
    scans = 0
    for count, (kind, _) in enumerate(_jpeg_segments(data), start=1):
        scans += kind == _JPEG_SCAN
        if scans > MAX_JPEG_SCANS or count > MAX_JPEG_SEGMENTS:
            return False
    return True


def most_pixels(picture: Image.Image, data: bytes) -> int:
    """How many pixels a picture with such a header may have, so that decoding takes at most MAX_DECODING_BYTES.

    `picture` is opened and not loaded, `data` is its file. Raises whatever a senseless header makes it raise.
    """
    return int(MAX_DECODING_BYTES / _bytes_per_pixel(picture, data))


def _bytes_per_pixel(picture: Image.Image, data: bytes) -> float:
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        return _jpeg_bytes_per_pixel(picture, data)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return _tiff_bytes_per_pixel(picture)
    return _BYTES_PER_PIXEL.get(picture.format or "", _PIXEL_BYTES)


def _jpeg_bytes_per_pixel(picture: JpegImagePlugin.JpegImageFile, data: bytes) -> float:
    """libjpeg keeps the coefficients of the whole picture, two bytes each, unless the first scan has all of it."""
    scan = next(at for kind, at in _jpeg_segments(data) if kind == _JPEG_SCAN)
    components = data[scan + 2]
    if components == len(picture.layer) and "progressive" not in picture.info:
        return _PIXEL_BYTES
    whole = max(h for _, h, _, _ in picture.layer) * max(v for _, _, v, _ in picture.layer)
    coefficients = sum(h * v for _, h, v, _ in picture.layer) / whole
    return 2 * coefficients + 0.5 * len(picture.layer)  # and the picture, which `draft` makes smaller


def _tiff_bytes_per_pixel(picture: TiffImagePlugin.TiffImageFile) -> float:
    """libtiff unpacks a strip or a tile as a whole: at the worst that is the picture once more."""
    tags = picture.tag_v2
    if picture.info.get("compression") == "raw":
        return _PIXEL_BYTES
    if TiffImagePlugin.TILEWIDTH in tags:
        strip = tags[TiffImagePlugin.TILEWIDTH] * tags[TiffImagePlugin.TILELENGTH]
    else:
        rows = tags.get(TiffImagePlugin.ROWSPERSTRIP, picture.height)
        strip = min(rows, picture.height) * picture.width
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))) * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return _PIXEL_BYTES + strip * max(bits, 32) / 8 / max(1, picture.width * picture.height)


def _jpeg_segments(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The kinds of the segments, and where the two bytes of their length are."""
    at = 0
    while (marker := _JPEG_MARKER.search(data, at)) and marker[1] != _JPEG_END:
        yield marker[1], marker.end()
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
