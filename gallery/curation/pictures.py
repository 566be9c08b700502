"""Pictures of our own making: decoded from untrusted bytes and encoded anew. For workers and commands."""

from dataclasses import dataclass, replace

from PIL import Image

from engine.images import decoding
from engine.images.headers import Limits
from gallery.queries.uploads import limits

KEPT_PX = 1000  # the longer side of a kept picture: enough to look at, and for a crop of a fifth
# Of a gallery picture, which is embedded from its file: a photograph then has a cosine of 0.993 to 1 with its file here
# (median 0.999; with quality 85 0.982 to 1), for files that are a sixth larger.
GALLERY_QUALITY = 92
OWN_BYTES = 256 * 2**20  # of a file on the operator's own disk: it is read into memory
THUMBNAIL_PX = 320  # the longer side; sharp at 160 CSS pixels on a phone


@dataclass(frozen=True)
class Encoded:
    """A picture and its thumbnail as new JPEG files: none of the sent bytes live on."""

    picture: bytes
    thumbnail: bytes
    width_px: int
    height_px: int
    is_incomplete: bool  # the file ended too soon


def own_limits() -> Limits:
    """The limits for the operator's own files: that of bytes is meant for visitors."""
    most = limits()
    return replace(most, max_bytes=max(OWN_BYTES, most.max_bytes))


def decode(data: bytes, most: Limits | None = None) -> Image.Image:
    """An upright RGB picture of at most KEPT_PX a side, within a visitor's limits or those. Raises BadImage."""
    return decoding.decode(data, most or limits(), within_px=KEPT_PX)


def encode(picture: Image.Image) -> bytes:
    """The picture as a new JPEG file."""
    return decoding.to_jpeg(picture, KEPT_PX)


def reencode(data: bytes, most: Limits | None = None) -> Encoded:
    """Raises BadImage."""
    picture = decode(data, most)
    return Encoded(
        decoding.to_jpeg(picture, KEPT_PX, GALLERY_QUALITY),
        decoding.to_jpeg(picture, THUMBNAIL_PX, quality=82),
        picture.width,
        picture.height,
        decoding.is_incomplete(picture),
    )
