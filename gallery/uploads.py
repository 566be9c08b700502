"""From the bytes that somebody sent to pictures of our own making."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from engine import images
from engine.errors import BadImage
from gallery.errors import Refusal

STORED_PX = 1024  # the longer side of a kept picture: enough to look at, and for a crop of a fifth
THUMBNAIL_PX = 320  # the longer side; sharp at 160 CSS pixels on a phone


class Readable(Protocol):
    """An open file, Django's or Python's."""

    def read(self, num_bytes: int, /) -> bytes: ...


@dataclass(frozen=True)
class Upload:
    """An accepted picture, already re-encoded: none of the sent bytes live on."""

    content_hash: str
    picture: bytes
    thumbnail: bytes
    width_px: int
    height_px: int


def limits() -> images.Limits:
    return images.Limits(max_bytes=settings.SIMSEARCH_MAX_UPLOAD_BYTES, max_pixels=settings.SIMSEARCH_MAX_PIXELS)


def accept(file: Readable, *, with_thumbnail: bool = False) -> Upload:
    """Decode and re-encode what was sent. Raises Refusal with one of the upload codes."""
    data = file.read(settings.SIMSEARCH_MAX_UPLOAD_BYTES + 1)
    try:
        # Of a 4:3 picture: its longer side then keeps at least STORED_PX.
        picture = images.decode(data, limits(), at_least_px=STORED_PX * 3 // 4)
    except BadImage as error:
        raise Refusal(error.code, str(error)) from error
    picture.thumbnail((STORED_PX, STORED_PX))  # in place
    return Upload(
        content_hash=hashlib.sha256(data).hexdigest(),
        picture=images.to_jpeg(picture, STORED_PX),
        thumbnail=images.to_jpeg(picture, THUMBNAIL_PX, quality=82) if with_thumbnail else b"",
        width_px=picture.width,
        height_px=picture.height,
    )
