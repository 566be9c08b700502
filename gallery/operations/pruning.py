"""Orphans: picture files without a row and rows without their picture file, which only an accident leaves behind."""

import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from django.db.models import QuerySet

from gallery import files
from gallery.curation import library
from gallery.files import Area, Entry, Stored
from gallery.models import Image, Query
from gallery.queries import lifecycle

# A file is written before its row is committed, and a row's files go after it: what is younger may be on its way.
SETTLED_S = 3600
BATCH = 500
OF_ROW = re.compile("[^/]+/../[^/]+")  # folder, two digits, file
UNNAMED = re.compile(r"[^/]*\.upload[^/]*")
Item = TypeVar("Item")
Owner = type[Image] | type[Query]


# The folders of picture files, and whose they are.
OWNERS: dict[tuple[Area, str], Owner] = {
    ("default", "gallery"): Image,
    ("default", "thumbnails"): Image,
    ("default", "queries"): Query,
    ("uploads", "gallery"): Image,
    ("uploads", "queries"): Query,
}


class TooMany(Exception):
    """Most gallery pictures have no file: that is no accident of one, but a folder that is missing."""


@dataclass(frozen=True)
class Orphans:
    files: list[Stored]
    images: list[uuid.UUID]
    queries: list[uuid.UUID]

    @property
    def bytes(self) -> int:
        return sum(file.size() for file in self.files)


def find() -> Orphans:
    """Changes nothing. Raises TooMany."""
    orphans = Orphans(
        files=sorted(_files_without_rows()),
        images=[image.pk for image in _decoded().iterator(BATCH) if not image.picture_file.exists()],
        queries=[query.pk for query in _answered().iterator(BATCH) if not _has_file(query)],
    )
    gallery = Image.objects.count()
    if len(orphans.images) > max(10, gallery // 2):
        raise TooMany(
            f"{len(orphans.images)} of {gallery} gallery pictures have no file in {files.keeper().described()}: "
            "nothing was removed; mount the right data directory or name the right bucket, or restore a backup."
        )
    return orphans


def remove(orphans: Orphans) -> None:
    """Can be stopped at any moment, and said again."""
    files.remove(*orphans.files)
    for ids in _batches(orphans.images):
        library.remove(Image.objects.filter(pk__in=ids))
    for query_id in orphans.queries:
        lifecycle.withdraw(query_id)


def _decoded() -> "QuerySet[Image]":
    return Image.objects.exclude(is_pending=True)


def _answered() -> "QuerySet[Query]":
    """One that is waiting ends by itself, with a reason that its visitor can read; one that failed has no picture."""
    return Query.objects.filter(has_picture=True, state=Query.State.DONE)


def _has_file(query: Query) -> bool:
    return query.picture_file.exists() or query.upload_file.exists()


def _files_without_rows() -> Iterator[Stored]:
    # Of an upload that was killed, before it had its name.
    yield from _settled(files.entries("received", ""), UNNAMED)
    for (area, folder), model in OWNERS.items():
        for batch in _batches(_settled(files.entries(area, folder), OF_ROW)):
            named = {file: _owner(file) for file in batch}
            wanted = [row for row in named.values() if row]
            there = set(model.objects.filter(pk__in=wanted).values_list("pk", flat=True))
            yield from (file for file, row in named.items() if row not in there and (row or _is_leftover(file)))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _settled(entries: Iterable[tuple[Stored, Entry]], named: re.Pattern[str]) -> Iterator[Stored]:
    """Those of such names that are old enough."""
    before = time.time() - SETTLED_S
    return (file for file, entry in entries if entry.modified_at < before and named.fullmatch(file.name))


def _owner(file: Stored) -> uuid.UUID | None:
    """Only what has a name of ours is ours to delete."""
    name = file.name.rpartition("/")[2].removesuffix(".jpg")
    try:
        return uuid.UUID(name)
    except ValueError:
        return None


def _is_leftover(file: Stored) -> bool:
    """Of a write that was killed."""
    return file.name.rpartition("/")[2].startswith(files.UNFINISHED)
