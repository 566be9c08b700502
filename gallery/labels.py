"""Labels as they are kept: those that differ only in case, white space or Unicode form are one."""

import unicodedata

LONGEST = 100


def kept(label: str) -> str:
    """Return the label tidied, cut to its longest length."""
    return tidied(label)[:LONGEST].rstrip()


def tidied(text: str) -> str:
    """Return the text in Unicode's form NFC, trimmed, with single spaces."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def key(label: str) -> str:
    """Return what labels are compared by: Unicode's canonical caseless form."""
    folded = unicodedata.normalize("NFD", tidied(label)).casefold()
    return unicodedata.normalize("NFD", folded)
