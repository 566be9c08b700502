"""Normalise labels and titles, in any script, to store, compare and search them.

Labels that differ only in case, white space or Unicode form are one. Searches also ignore accents.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

from django.db import models

LONGEST_LABEL = 100
ACCENTS = range(0x0300, 0x0370)  # Unicode's combining diacritical marks; signs of other scripts are more than accents


def kept_label(label: str) -> str:
    """Return the label tidied, cut to its longest length."""
    return tidied(label)[:LONGEST_LABEL].rstrip()


def tidied(text: str) -> str:
    """Return the text in Unicode's form NFC, trimmed, with single spaces."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def label_key(label: str) -> str:
    """Return the key that labels are compared by: Unicode's canonical caseless form."""
    caseless = unicodedata.normalize("NFD", tidied(label)).casefold()
    return unicodedata.normalize("NFD", caseless)


def folded(text: str) -> str:
    """Return the text in lower case without accents: "Ästhetik" becomes "asthetik", "Łódź" "lodz"."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(_without_stroke(letter) for letter in letters if ord(letter) not in ACCENTS)
    return unicodedata.normalize("NFKC", plain)


def _without_stroke(letter: str) -> str:
    """Return the base of a letter that Unicode does not decompose, such as ø or ł."""
    if letter.isascii() or not letter.isalpha():
        return letter
    base, is_compound, _ = unicodedata.name(letter, "").partition(" WITH ")
    if not is_compound:
        return letter
    try:
        return unicodedata.lookup(base)
    except KeyError:
        return letter


class FoldedField(models.TextField[str | None, str | None]):
    """A column with the folded text of another column, for searches; it is written with the row.

    PostgreSQL could do this with an extension that not every account may install; SQLite could not.
    """

    def __init__(self, source: str, **options: Any) -> None:
        super().__init__(**{"null": True, "editable": False} | options)
        self.source = source

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Return the field's arguments for migrations."""
        name, path, args, options = super().deconstruct()
        return name, path, [self.source, *args], options

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Store and return the folded text of the source column."""
        text = folded(getattr(model_instance, self.source))
        setattr(model_instance, self.attname, text)
        return text


def with_folded(model: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an UPDATE, and those of the folded columns that follow from them.

    Raises TypeError for an expression as the source of a folded column: only the database knows its value.
    """
    found = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, FoldedField) and field.source in values and field.name not in values:
            text = values[field.source]
            if not isinstance(text, str):
                raise TypeError(f"{field.source} takes a text, because {field.name} is made from it")
            found[field.name] = folded(text)
    return values | found
