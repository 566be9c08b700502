"""The part of a picture that is searched, as text: `x,y,w,h`, fractions of the upright picture from its top left."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from engine.images.headers import Crop
from gallery.errors import Refusal

DIGITS = 4  # in links: a tenth of a pixel of a stored picture
WHOLE = (0.0, 0.0, 1.0, 1.0)

Part = tuple[float, float, float, float]


def parsed(text: str) -> Part | None:
    """Return the part that the text names; None for the whole picture. Raises Refusal `invalid`."""
    if not text:
        return None
    try:
        x, y, w, h = (float(part) for part in text.split(","))
        Crop(x, y, w, h)
    except ValueError as error:
        raise Refusal(
            "invalid", _("crop takes four fractions of the picture: x,y,w,h, such as 0.1,0.2,0.5,0.5.")
        ) from error
    return None if (x, y, w, h) == WHOLE else (x, y, w, h)


def text(part: Sequence[float] | None) -> str:
    """Return the part as links have it; nothing for the whole picture."""
    return ",".join(f"{round(number, DIGITS):g}" for number in part) if part else ""
