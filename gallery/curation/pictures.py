"""Re-encode untrusted pictures. For workers and commands."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from engine.decoders.pool import DECODERS, Decoded, Jpeg, Request
from engine.errors import BadImage
from engine.images.headers import Limits
from gallery.models import Image
from gallery.queries import uploads

KEPT_PX = 1000  # the longer side of a stored picture: enough to look at, and for a crop of a fifth
MOST_KEPT_PX = 5000  # of a gallery picture: 25 megapixels are decoded within 250 MB
KEPT = Jpeg(quality=85)  # the stored file of a query's picture
# Of a gallery picture within KEPT_PX, which is embedded from its file: a photograph then has a cosine of 0.993 to 1
# with its file here (median 0.999; with quality 85 0.982 to 1), for files that are a sixth larger.
PREVIEW = Jpeg(quality=92)
LARGE = Jpeg(quality=85)  # a larger gallery picture, to look at and for crops
# Shares of SIMSEARCH_KEPT_PX, and up to how many pixels a picture may have for them: one that would need too much
# memory for the first is kept smaller.
LARGE_SIZES = ((1.0, 50_000_000), (0.75, 50_000_000), (0.4, 40_000_000))
# Sharp at 160 CSS pixels on a phone. Of a longer picture it is the middle, which is what the model sees of it, too.
THUMBNAIL = Jpeg(quality=82, within_px=320, ratio=4)


@dataclass(frozen=True)
class Encoded:
    """A picture as new JPEG files, without any of the sent bytes.

    `preview`: None where the picture itself is within KEPT_PX; `is_incomplete`: the file ended too soon.
    """

    picture: bytes
    preview: bytes | None
    thumbnail: bytes
    width_px: int
    height_px: int
    is_incomplete: bool
    taken_at: datetime | None

    @property
    def has_preview(self) -> bool:
        """Tell whether the picture has a preview."""
        return self.preview is not None


def request(
    limits: Limits | None = None,
    *,
    within_px: int | None = KEPT_PX,
    at_least_px: int | None = None,
    jpegs: tuple[Jpeg, ...] = (),
    crop: Sequence[float] | None = None,
    square: tuple[int, int] | None = None,
    whole: bool = False,
    with_date: bool = False,
) -> Request:
    """Return what a decoder makes of a picture of at most `within_px` a side.

    A long picture has a tenth of that across. `limits`: those of uploads if not given. The others: as in `Request`.
    """
    most = limits or uploads.limits()
    return Request(most.max_bytes, most.max_pixels, at_least_px, within_px, jpegs, crop, square, whole, with_date)


def reencode(source: bytes | Path, limits: Limits | None = None) -> Encoded:
    """Re-encode a gallery picture. Raises BadImage, and OSError where the file cannot be read.

    What the model sees is decoded as a query's picture is, whatever the size that is kept, so that the same file has
    the same embedding.
    """
    preview = DECODERS.decode(source, request(limits, jpegs=(PREVIEW, THUMBNAIL), with_date=True))
    large = _larger(source, limits, preview)
    kept, taken_at = large or preview, preview.taken_at
    if taken_at and timezone.is_naive(taken_at):  # most cameras write the local time without its zone
        taken_at = timezone.make_aware(taken_at)
    return Encoded(
        picture=kept.jpegs[0],
        preview=preview.jpegs[0] if large else None,
        thumbnail=preview.jpegs[1],
        width_px=kept.width_px,
        height_px=kept.height_px,
        is_incomplete=preview.is_incomplete,
        taken_at=taken_at,
    )


def within_for_crop(image: Image, crop: Sequence[float], at_least_px: int) -> int:
    """Return the size at which a part of a gallery picture is decoded: its shorter side is then at least that long."""
    _, _, w, h = crop
    share = min(w * image.width_px, h * image.height_px) / max(image.width_px, image.height_px)
    return max(KEPT_PX, math.ceil(at_least_px / share)) if share else KEPT_PX


def _larger(source: bytes | Path, limits: Limits | None, than: Decoded) -> Decoded | None:
    """Decode the picture within SIMSEARCH_KEPT_PX. None where that is no larger, or takes too much memory or time."""
    if max(than.width_px, than.height_px) < KEPT_PX:
        return None
    most = limits or uploads.limits()
    for share, pixels in LARGE_SIZES:
        within_px = round(share * settings.SIMSEARCH_KEPT_PX)
        if within_px <= KEPT_PX:
            return None
        with suppress(BadImage):
            fewer = replace(most, max_pixels=min(most.max_pixels, pixels))
            made = DECODERS.decode(source, request(fewer, within_px=within_px, jpegs=(LARGE,)))
            return made if made.width_px > than.width_px else None
    return None
