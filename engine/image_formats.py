"""Which kinds of picture files are read, and by what. Importing this module registers the readers with Pillow."""

import warnings
from typing import IO

import PIL.AvifImagePlugin  # these three register themselves
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin  # noqa: F401
from PIL import Image, ImageFile

# Pillow's name for it, and what people call it. JPEG includes MPO, which phones write. AVIF is before HEIF: both
# readers claim files branded `mif1`, and only AVIF's leaves them to the other.
ALLOWED = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WEBP": "WebP",
    "GIF": "GIF",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "AVIF": "AVIF",
    "HEIF": "HEIC",
}
# ISO/IEC 23008-12: pictures and sequences of them.
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def is_known_start(data: bytes) -> bool:
    """Whether a reader knows the first bytes: then an unreadable file is damaged, and not of another kind."""
    accepts = (Image.OPEN[name][1] for name in ALLOWED)
    return any(accept is not None and accept(data[:16]) for accept in accepts)


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


def _open_heif(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    import pillow_heif  # 6 MB of a web process, for what few visitors send

    pillow_heif.options.THUMBNAILS = False  # `draft` would take the one in a file for its picture
    picture: ImageFile.ImageFile = pillow_heif.HeifImageFile(file, name)  # type: ignore[no-untyped-call]
    return picture


def _register() -> None:
    """Once, at import: threads would otherwise race to do it."""
    Image.preinit()
    Image.register_open("HEIF", _open_heif, _is_heif)
    # Pillow warns of odd metadata in good pictures, and of pictures that have yet to be judged. The filter is
    # process-wide because `warnings.catch_warnings` is not thread-safe.
    warnings.filterwarnings("ignore", module=r"PIL\.")


_register()
