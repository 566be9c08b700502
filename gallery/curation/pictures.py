"""Pictures of our own making: decoded from untrusted bytes and encoded anew. For workers and commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.decoders.pool import DECODERS, Jpeg, Request
from engine.images.headers import Limits
from gallery.queries import uploads

KEPT_PX = 1000  # the longer side of a kept picture that is no strip: enough to look at, and for a crop of a fifth
KEPT = Jpeg(quality=85)  # the file that is kept of a query's picture
# Of a gallery picture, which is embedded from its file: a photograph then has a cosine of 0.993 to 1 with its file here
# (median 0.999; with quality 85 0.982 to 1), for files that are a sixth larger.
KEPT_IN_GALLERY = Jpeg(quality=92)
# Sharp at 160 CSS pixels on a phone. Of a longer picture it is the middle, which is what the network sees of it, too.
THUMBNAIL = Jpeg(quality=82, within_px=320, ratio=4)


@dataclass(frozen=True)
class Encoded:
    """A picture and its thumbnail as new JPEG files: none of the sent bytes live on."""

    picture: bytes
    thumbnail: bytes
    width_px: int
    height_px: int
    is_incomplete: bool  # the file ended too soon


def request(
    limits: Limits | None = None,
    *,
    within_px: int | None = KEPT_PX,
    at_least_px: int | None = None,
    jpegs: tuple[Jpeg, ...] = (),
    crop: Sequence[float] | None = None,
    square: tuple[int, int] | None = None,
    whole: bool = False,
) -> Request:
    """Return what a decoder makes of a picture: at most `within_px` a side, of a long one a tenth of that across.

    `limits`: those of uploads if not given. The others: as in `Request`.
    """
    most = limits or uploads.limits()
    return Request(
        most.max_bytes,
        most.max_pixels,
        at_least_px=at_least_px,
        within_px=within_px,
        jpegs=jpegs,
        crop=crop,
        square=square,
        whole=whole,
    )


def reencode(source: bytes | Path, limits: Limits | None = None) -> Encoded:
    """Raises BadImage, and OSError where the file cannot be read."""
    made = DECODERS.decode(source, request(limits, jpegs=(KEPT_IN_GALLERY, THUMBNAIL)))
    kept, thumbnail = made.jpegs
    return Encoded(kept, thumbnail, made.width_px, made.height_px, made.is_incomplete)
