"""Find orphans: files without a row, rows without their picture, embeddings without a picture."""

import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from gallery.curation import library
from gallery.index import embeddings
from gallery.models import Image, Query, QueryPart, ZipImport
from gallery.queries import lifecycle
from gallery.storage import disk, files
from gallery.storage.files import Area, Stored

# A file is written before its row is committed and deleted after it, so a younger file may belong to a row.
SETTLED_S = 3600
BATCH = 500
UNNAMED = re.compile(r"[^/]*\.upload[^/]*")
OF_ROW = re.compile("../[^/]+")
NAME = re.compile(r"([^.]+)(\.jpg|\.\d+-\d+)?")  # a row's id; a picture of it, or a part of its archive
Item = TypeVar("Item")
Owner = type[Image] | type[Query] | type[QueryPart] | type[ZipImport]


# The folders of picture files, and the models whose rows own them.
OWNERS: dict[tuple[Area, str], Owner] = {
    ("default", "gallery/"): Image,
    ("default", "previews/"): Image,
    ("default", "thumbnails/"): Image,
    ("default", "queries/"): Query,
    ("default", "parts/"): QueryPart,
    ("originals", ""): Image,
    ("uploads", "gallery/"): Image,
    ("uploads", "queries/"): Query,
    ("uploads", "parts/"): QueryPart,
    ("uploads", "zips/"): ZipImport,
}


class TooMany(Exception):
    """Most gallery pictures have no file: the folder itself must be missing."""


@dataclass(frozen=True)
class Orphans:
    files: list[Stored]
    images: list[uuid.UUID]
    queries: list[uuid.UUID]
    embeddings: int
    parts: int

    @property
    def bytes(self) -> int:
        """Return the bytes of all files to delete."""
        return sum(file.size() for file in self.files)


def find() -> Orphans:
    """Find what can be deleted; changes nothing. Raises TooMany."""
    decoded = Image.objects.exclude(is_pending=True)
    # A waiting query without its file fails by itself.
    answered = Query.objects.filter(Q(has_picture=True) | Q(has_parts=True), state=Query.State.DONE)
    orphans = Orphans(
        files=sorted(_files_without_rows()),
        images=[image.pk for image in decoded.iterator(BATCH) if not image.picture_file.exists()],
        queries=[query.pk for query in answered.iterator(BATCH) if not _has_files(query)],
        embeddings=embeddings.without_picture().count(),
        parts=_parts_without_query().count(),
    )
    gallery = Image.objects.count()
    if len(orphans.images) > max(10, gallery // 2):
        raise TooMany(
            f"{len(orphans.images)} of {gallery} gallery pictures have no file in {files.keeper().described()}: "
            "nothing was removed; mount the right data directory or name the right bucket, or restore a backup."
        )
    return orphans


def remove(orphans: Orphans) -> None:
    """Delete the orphans; safe to stop at any moment, and to repeat."""
    files.remove(*orphans.files)
    for ids in _batches(orphans.images):
        library.remove(Image.objects.filter(pk__in=ids))
    for query_id in orphans.queries:
        lifecycle.withdraw(query_id)
    embeddings.forget_deleted()
    for ids in _batches(_parts_without_query().values_list("pk", flat=True)):
        QueryPart.objects.filter(pk__in=ids).delete()


def _parts_without_query() -> "QuerySet[QueryPart]":
    """Return the parts of queries that a version deleted which knew of no parts; their files go with the rows."""
    return QueryPart.objects.filter(~Exists(Query.objects.filter(pk=OuterRef("query_id"))))


def _has_files(query: Query) -> bool:
    uploaded = (row for row in query.pictures if row.has_picture)
    return all(row.picture_file.exists() or row.upload_file.exists() for row in uploaded)


def _files_without_rows() -> Iterator[Stored]:
    # Of a killed upload, before it had its name.
    yield from (file for file in _settled("received", "") if UNNAMED.fullmatch(file.name))
    for (area, folder), model in OWNERS.items():
        # Delete only files with names of our form.
        ours = (file for file in _settled(area, folder) if OF_ROW.fullmatch(file.name.removeprefix(folder)))
        for batch in _batches(ours):
            named = {file: _owner(file) for file in batch}
            wanted = [row for row in named.values() if row]
            there = set(model.objects.filter(pk__in=wanted).values_list("pk", flat=True))
            for file, row in named.items():
                # Without an id in its name: the temporary file of a killed write.
                if row not in there and (row or _base(file).startswith(disk.UNFINISHED)):
                    yield file


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _settled(area: Area, folder: str) -> Iterator[Stored]:
    """Return the files below a folder that are old enough."""
    before = time.time() - SETTLED_S
    return (file for file, entry in files.entries(area, folder) if entry.modified_at < before)


def _owner(file: Stored) -> uuid.UUID | None:
    named = NAME.fullmatch(_base(file))
    try:
        return uuid.UUID(named[1]) if named else None
    except ValueError:
        return None


def _base(file: Stored) -> str:
    return file.name.rpartition("/")[2]
