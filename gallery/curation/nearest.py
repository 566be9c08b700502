"""The label that somebody may have meant."""

import difflib

from gallery.models import Image
from gallery.searchable import folded

MOST_LABELS = 5000  # that are compared: some 50 ms
LIKENESS = 0.5  # difflib's ratio from which a label may be the one that was meant


def nearest_label(wanted: str) -> str | None:
    """Return the label of a visible picture that is spelled most like this one, without regard to case and accents."""
    labels = Image.objects.visible().exclude(label="").order_by("label").values_list("label", flat=True).distinct()
    spellings = {folded(label): label for label in labels[:MOST_LABELS]}
    found = difflib.get_close_matches(folded(wanted), spellings, n=1, cutoff=LIKENESS)
    return spellings[found[0]] if found else None
