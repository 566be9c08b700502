"""Template filters for labels and titles."""

import re
from collections.abc import Sequence

from django import template
from django.conf import settings
from django.utils.text import get_text_list
from django.utils.translation import gettext, gettext_noop

from gallery.models import Image
from gallery.results.matches import Picture

register = template.Library()


@register.simple_tag
def map_is_public() -> bool:
    """Return whether every visitor may see the map of the gallery."""
    return bool(settings.SIMSEARCH_PUBLIC_MAP)


@register.filter
def readable(label: str) -> str:
    """Return the label in words: folders are often called `water_lilly`."""
    return " ".join(label.replace("_", " ").split())


@register.filter
def name(image: Image | Picture) -> str:
    """Return the picture's title, or its label if the title is only a number from a camera or a folder."""
    has_word = re.search(
        r"[^\W\d_]{2}", re.sub(r"^(IMG|DSC[FN]?|DSCN|PXL|MVI|image)(?=[\W\d_])", "", image.title, flags=re.I)
    )
    if has_word or not image.label:
        return image.title
    return readable(image.label)


# Sentences that workers store with a failed query, in English; they are translated when they are shown.
KEPT = [
    gettext_noop("The picture is damaged or incomplete; save it again and send the new file."),
    gettext_noop("The file is empty; choose a picture and send it again."),
    gettext_noop("The picture takes too much time or memory to read; save it again as a plain JPEG or PNG."),
    gettext_noop("The picture is no longer on the server; upload it again."),
    gettext_noop("That gallery picture has been removed; choose another one."),
]


@register.filter
def translated(text: str) -> str:
    """Return a sentence of the catalogues in the reader's language, any other text as it is."""
    return gettext(text) if text else ""


@register.filter
def listed(labels: Sequence[str]) -> str:
    """Return labels in words, with "or" before the last one."""
    return get_text_list([readable(label) for label in labels], gettext("or"))
