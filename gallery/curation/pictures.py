"""Pictures of our own making: decoded from untrusted bytes and encoded anew. For workers and commands."""

from dataclasses import dataclass

from PIL import Image

from engine.images import decoding
from engine.images.headers import Limits
from gallery.queries import uploads

KEPT_PX = 1000  # the longer side of a kept picture that is no strip: enough to look at, and for a crop of a fifth
# Of a gallery picture, which is embedded from its file: a photograph then has a cosine of 0.993 to 1 with its file here
# (median 0.999; with quality 85 0.982 to 1), for files that are a sixth larger.
GALLERY_QUALITY = 92
THUMBNAIL_PX = 320  # the longer side; sharp at 160 CSS pixels on a phone
THUMBNAIL_RATIO = 4  # of a longer picture the thumbnail is the middle, which is what the network sees of it, too


@dataclass(frozen=True)
class Encoded:
    """A picture and its thumbnail as new JPEG files: none of the sent bytes live on."""

    picture: bytes
    thumbnail: bytes
    width_px: int
    height_px: int


def decode(data: bytes, limits: Limits | None = None) -> Image.Image:
    """Return an upright RGB picture of at most KEPT_PX a side, or a long one whose shorter side is a tenth of that.

    `limits`: those of uploads if not given. Raises BadImage.
    """
    return decoding.decode(data, limits or uploads.limits(), within_px=KEPT_PX)


def encode(picture: Image.Image) -> bytes:
    """The picture from `decode` as a new JPEG file."""
    return decoding.to_jpeg(picture, max(picture.size))


def reencode(data: bytes, limits: Limits | None = None) -> Encoded:
    """Raises BadImage."""
    picture = decode(data, limits)
    thumbnail = decoding.to_jpeg(decoding.middle(picture, THUMBNAIL_RATIO), THUMBNAIL_PX, quality=82)
    kept = decoding.to_jpeg(picture, max(picture.size), GALLERY_QUALITY)
    return Encoded(kept, thumbnail, picture.width, picture.height)
