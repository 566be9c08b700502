"""How labels and titles are shown."""

import re

from django import template
from django.conf import settings

from gallery.models import Image
from gallery.queries.results import Picture

register = template.Library()


@register.simple_tag
def map_is_public() -> bool:
    """Return whether every visitor may see the map of the gallery."""
    return settings.SIMSEARCH_PUBLIC_MAP


@register.filter
def readable(label: str) -> str:
    """Return the label in words: folders are often called `water_lilly`."""
    return " ".join(label.replace("_", " ").split())


@register.filter
def name(image: Image | Picture) -> str:
    """Return the picture's title, or its label where the title is only a number of a camera or a folder."""
    has_word = re.search(
        r"[^\W\d_]{2}", re.sub(r"^(IMG|DSC[FN]?|DSCN|PXL|MVI|image)(?=[\W\d_])", "", image.title, flags=re.I)
    )
    if has_word or not image.label:
        return image.title
    return readable(image.label)
