"""Read from the Exif data of a file when the photograph was taken."""

import io
from contextlib import suppress
from datetime import datetime

from PIL import ExifTags, Image

import engine.images.formats  # noqa: F401 (registers the readers)
from engine.images.headers import ALLOWED

FORMAT = "%Y:%m:%d %H:%M:%S"
ZONED = f"{FORMAT}%z"
FIRST_YEAR, LAST_YEAR = 1826, 2100  # the oldest photograph; beyond the last a camera's clock is wrong
# When the picture was taken, else when it was scanned, each with the field of its time zone.
FIELDS = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)


def taken_at(data: bytes) -> datetime | None:
    """Return when the picture of a file was taken, with the time zone if the file names it. For files that `decode`
    accepts; raises nothing.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=tuple(ALLOWED))
        if picture.format == "PNG" and "exif" not in picture.info:  # Pillow would decode the pixels to read on
            return None
        exif = picture.getexif().get_ifd(ExifTags.IFD.Exif)
    except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
        return None
    for field, zone in FIELDS:
        if found := _read(_text(exif.get(field)), _text(exif.get(zone))):
            return found
    return None


def _read(text: str, zone: str) -> datetime | None:
    for time, form in ((text + zone, ZONED), (text, FORMAT)):
        with suppress(ValueError):
            found = datetime.strptime(time, form)  # noqa: DTZ007 (cameras write local time without a zone)
            return found if FIRST_YEAR <= found.year <= LAST_YEAR else None
    return None


def _text(value: object) -> str:
    return value.strip(" \0") if isinstance(value, str) else ""
