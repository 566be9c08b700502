"""images.csv: the files of a folder with label, title and dates; `export` writes it and imports read it."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from django.utils import timezone

from gallery.curation.folders.left_out import text_of
from gallery.curation.folders.scanning import Source
from gallery.models import LONGEST_TITLE, Image
from gallery.text import kept_label, tidied

NAME = "images.csv"
COLUMNS = ("file", "label", "title", "date", "hidden", "taken")
DELIMITERS = ",;\t"  # of spreadsheets in different countries
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
FIELDS = {"label": "label", "title": "title", "date": "created_at", "hidden": "is_hidden", "taken": "taken_at"}


class BadTable(Exception):
    """A table that cannot be read; its text is a sentence with the line."""


@dataclass(frozen=True)
class Table:
    """The files of a table, and which fields of their pictures it sets."""

    sources: list[Source]
    fields: tuple[str, ...]

    def values(self, source: Source) -> dict[str, Any]:
        """Return the values that the table gives for a file."""
        values = {name: getattr(source, name) for name in self.fields}
        return {name: value for name, value in values.items() if value is not None}


def write_head(file: TextIO) -> None:
    """Write the row of column names."""
    csv.writer(file).writerow(COLUMNS)


def write_row(file: TextIO, image: Image, name: str) -> None:
    """Write the row of one picture."""
    hidden = "true" if image.is_hidden else "false"
    taken = image.taken_at.isoformat() if image.taken_at else ""
    csv.writer(file).writerow([name, image.label, image.title, image.created_at.isoformat(), hidden, taken])


def read(path: Path) -> Table:
    """Return the files that a table names, relative to its own folder. Raises BadTable and OSError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(f"{path} is not UTF-8; save it as CSV in UTF-8.") from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    if "file" not in columns:
        raise BadTable(f"{path} has no column `file`; its first line names the columns: {','.join(COLUMNS)}.")
    try:
        given = ({key: row[name] or "" for key, name in columns.items() if key in COLUMNS} for row in rows)
        sources = [_source(path.parent, values) for values in given]
    except (ValueError, csv.Error) as error:
        raise BadTable(f"{path}, line {rows.line_num}: {error}") from error
    return Table(sources, tuple(field for column, field in FIELDS.items() if column in columns))


def _source(folder: Path, given: Mapping[str, str]) -> Source:
    """Return the file that a row describes. Raises ValueError, whose text is a sentence."""
    if not given["file"] or any("\0" in text for text in given.values()):
        raise ValueError("the name of the file is missing, or a text has a NUL in it.")
    hidden = given.get("hidden", "").strip().lower()
    if hidden not in TRUTH:
        raise ValueError(f"`hidden` is true or false, not {hidden!r}.")
    path = folder / given["file"]
    title = given.get("title", tidied(text_of(path.stem)))[:LONGEST_TITLE]
    label, dates = kept_label(given.get("label", "")), (_date(given, column) for column in ("date", "taken"))
    return Source(path, title, label, TRUTH[hidden], *dates)


def _date(given: Mapping[str, str], column: str) -> datetime | None:
    text = given.get(column, "").strip()
    try:
        date = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise ValueError(f"`{column}` is such as 2026-05-31 or 2026-05-31T12:00:00+02:00, not {text!r}.") from error
    return timezone.make_aware(date) if date and timezone.is_naive(date) else date


def apply(table: Table, pictures: Mapping[Source, str]) -> int:
    """Apply the table to pictures, named by their content hash; returns how many changed."""
    changed = 0
    for source, content_hash in pictures.items():
        image = Image.objects.filter(content_hash=content_hash).first()
        values = table.values(source)
        if image and "label" in values:
            values["label"] = Image.objects.exclude(pk=image.pk).spelled(values["label"])
        if image and any(getattr(image, name) != value for name, value in values.items()):
            changed += Image.objects.filter(pk=image.pk).update(**values)
    return changed
