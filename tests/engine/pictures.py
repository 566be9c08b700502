"""Pictures and picture files for the tests, all of them drawn here."""

import io
import random
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pillow_heif
from PIL import ExifTags, Image, ImageCms, ImageDraw

import engine.images.formats  # noqa: F401 (registers the readers)

# So that Pillow writes HEIC files; they are read as the engine does it.
READER = Image.OPEN["HEIF"]
pillow_heif.register_heif_opener()  # noqa: TID251
Image.register_open("HEIF", *READER)

WHITE, RED, GREEN, BLUE = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)

# Every format that is accepted, with the options that keep a picture's colours near to what they were.
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "AVIF": {"quality": 95, "subsampling": "4:4:4", "speed": 9},
    "HEIF": {"quality": 95, "chroma": 444},
}
# What brings an upright picture into the position that an Exif orientation says it is stored in.
_UNTURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """Return a picture that looks different in each of the eight orientations: four unlike corners and a circle."""
    picture = Image.new("RGB", (width, height), "gray")
    draw = ImageDraw.Draw(picture)
    right, bottom = width // 2, height // 2
    draw.rectangle((0, 0, right, bottom), fill=RED)
    draw.rectangle((right, 0, width, bottom), fill=GREEN)
    draw.rectangle((0, bottom, right, height), fill=BLUE)
    draw.ellipse((width // 8, height // 4, width // 2, height * 7 // 8), fill=WHITE)
    return picture


def noise(width: int = 120, height: int = 80, seed: int = 1) -> Image.Image:
    """Return a picture that does not compress, so that every part of its file carries pixels."""
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


def encoded(picture: Image.Image, name: str, **options: Any) -> bytes:
    """Return the picture as a file of that format."""
    file = io.BytesIO()
    picture.save(file, name, **{**FORMATS.get(name, {}), **options})
    return file.getvalue()


def oriented(picture: Image.Image, name: str, orientation: int) -> bytes:
    """Return a file that shows the picture upright only to those who heed its orientation (1 to 8)."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = picture.transpose(_UNTURNS[orientation]) if orientation > 1 else picture
    return encoded(stored, name, exif=exif.tobytes())


def with_metadata(name: str) -> bytes:
    """Return a file with all the metadata its format can hold, each piece containing `secret`."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "secret"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSMapDatum] = "secret"
    metadata = {"exif": exif, "xmp": b"<x>secret</x>", "comment": "secret", "icc_profile": swapped_profile()}
    return encoded(scene(), name, **metadata)


def swapped_profile(name: str = "gRRB") -> bytes:
    """Return a colour profile in which red is called green and green red. Its copyright says `secret`."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swap = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    profile = re.sub(b"rXYZ|gXYZ", lambda tag: swap[tag[0]], profile)
    profile = profile.replace("No copyright".encode("utf-16-be"), "secret------".encode("utf-16-be"))
    return profile.replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))


def ycck_red() -> bytes:
    """Return a red JPEG in YCCK, as Adobe writes it: Pillow's CMYK file, relabelled."""
    # Stored inverted, this is the YCbCr of cyan; inverted once more by the reader it is no cyan: red.
    data = bytearray(encoded(Image.new("CMYK", (16, 16), (76, 84, 255, 0)), "JPEG"))
    transform = data.index(b"Adobe") + 11
    data[transform] = 2
    return bytes(data)


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG put together by hand, its size as claimed; `rows` start with a filter byte each."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*part) for part in parts)


def gif_without_width() -> bytes:
    """Return a GIF of no pixels, complete but for them."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0x80, 0, 0) + bytes(6)
    return screen + b"," + bytes(9) + b"\2\2\x44\1\0;"


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def damaged(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Return that many damaged versions of a file, always the same ones for a seed."""
    dice = random.Random(seed)
    for _ in range(count):
        bad = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            at, length = dice.randrange(len(data)), dice.choice((1, 1, 2, 4, 30))
            bad[at : at + length] = dice.choice(
                (dice.randbytes(length), b"\xff" * length, bytes(length), b"", bytes(bad[:at][-length:]) * 2)
            )
        yield bytes(bad)
