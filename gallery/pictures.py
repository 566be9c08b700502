"""Pictures of our own making: decoded from untrusted bytes and encoded anew. For workers and commands."""

from dataclasses import dataclass

from PIL import Image

from engine import images
from gallery.uploads import limits

KEPT_PX = 1000  # the longer side of a kept picture: enough to look at, and for a crop of a fifth
THUMBNAIL_PX = 320  # the longer side; sharp at 160 CSS pixels on a phone


@dataclass(frozen=True)
class Encoded:
    """A picture and its thumbnail as new JPEG files: none of the sent bytes live on."""

    picture: bytes
    thumbnail: bytes
    width_px: int
    height_px: int


def decode(data: bytes) -> Image.Image:
    """An upright RGB picture of at most KEPT_PX a side. Raises BadImage."""
    return images.decode(data, limits(), within_px=KEPT_PX)


def encode(picture: Image.Image) -> bytes:
    """The picture as a new JPEG file."""
    return images.to_jpeg(picture, KEPT_PX)


def reencode(data: bytes) -> Encoded:
    """Raises BadImage."""
    picture = decode(data)
    thumbnail = images.to_jpeg(picture, THUMBNAIL_PX, quality=82)
    return Encoded(encode(picture), thumbnail, picture.width, picture.height)
