"""The readers of the formats in `headers.ALLOWED`. Importing this module registers them with Pillow."""

import warnings
from typing import IO

import PIL.AvifImagePlugin  # these three register themselves
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin  # noqa: F401
from PIL import Image, ImageFile

from engine.images.headers import HEIF_BRANDS
from engine.images.limits import MAX_EXIF_BYTES


def _open_heif(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    import pillow_heif  # 6 MB, for what few visitors send

    pillow_heif.options.THUMBNAILS = False  # `draft` would return the thumbnail instead of the picture
    picture: ImageFile.ImageFile = pillow_heif.HeifImageFile(file, name)  # type: ignore[no-untyped-call]
    return picture


_load_exif = Image.Exif.load


def _load_small_exif(exif: Image.Exif, data: bytes) -> None:
    """Load only the orientation. Pillow reads Exif in many places, in some while it opens a file."""
    _load_exif(exif, data if len(data) <= MAX_EXIF_BYTES else b"")


# Once, at import: threads would otherwise race to do it.
Image.preinit()
Image.Exif.load = _load_small_exif  # type: ignore[method-assign, assignment]
Image.register_open("HEIF", _open_heif, lambda start: start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS)
# Pillow warns of odd metadata in good pictures, and of pictures that are not checked yet. The filter is process-wide
# because `warnings.catch_warnings` is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
