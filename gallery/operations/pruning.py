"""Orphans, which only an accident leaves behind: files without a row, rows without their picture file or picture."""

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db.models import Q, QuerySet

from gallery import files
from gallery.curation import library, networks
from gallery.models import Image, Query, QueryPart, ZipImport
from gallery.queries import lifecycle

# A file is written before its row is committed, and a row's files go after it: what is younger may be on its way.
SETTLED_S = 3600
BATCH = 500
Item = TypeVar("Item")
Owner = type[Image] | type[Query] | type[QueryPart] | type[ZipImport]


def owners() -> dict[Path, Owner]:
    """Return the folders of picture files, and whose they are."""
    media, uploads = settings.MEDIA_ROOT, settings.UPLOADS_ROOT
    return {
        media / "gallery": Image,
        media / "previews": Image,
        media / "thumbnails": Image,
        settings.ORIGINALS_ROOT: Image,
        uploads / "gallery": Image,
        uploads / "zips": ZipImport,
        **{root / row.folder: row for root in (media, uploads) for row in (Query, QueryPart)},
    }


class TooMany(Exception):
    """Most gallery pictures have no file: that is no accident of one, but a folder that is missing."""


@dataclass(frozen=True)
class Orphans:
    files: list[Path]
    images: list[uuid.UUID]
    queries: list[uuid.UUID]
    embeddings: int

    @property
    def bytes(self) -> int:
        """Return the bytes of all files to delete."""
        return sum(path.stat().st_size for path in self.files if path.exists())


def find() -> Orphans:
    """Find what can be deleted, without a change. Raises TooMany."""
    orphans = Orphans(
        files=sorted(_files_without_rows()),
        images=[image.pk for image in _decoded().iterator(BATCH) if not image.picture_path.exists()],
        queries=[query.pk for query in _answered().iterator(BATCH) if not _has_files(query)],
        embeddings=networks.without_picture().count(),
    )
    gallery = Image.objects.count()
    if len(orphans.images) > max(10, gallery // 2):
        raise TooMany(
            f"{len(orphans.images)} of {gallery} gallery pictures have no file in {settings.MEDIA_ROOT}: nothing was "
            "removed; mount the right data directory, or restore a backup."
        )
    return orphans


def remove(orphans: Orphans) -> None:
    """Can be stopped at any moment, and said again."""
    files.remove(*orphans.files)
    for ids in _batches(orphans.images):
        library.remove(Image.objects.filter(pk__in=ids))
    for query_id in orphans.queries:
        lifecycle.withdraw(query_id)
    networks.forget_deleted()


def _decoded() -> "QuerySet[Image]":
    return Image.objects.exclude(is_pending=True)


def _answered() -> "QuerySet[Query]":
    """Return the finished queries with a picture: a waiting one without its file fails by itself."""
    uploaded = Q(has_picture=True) | Q(has_parts=True)
    return Query.objects.filter(uploaded, state=Query.State.DONE)


def _has_files(query: Query) -> bool:
    uploaded = (row for row in query.pictures if row.has_picture)
    return all(row.picture_path.exists() or row.upload_path.exists() for row in uploaded)


def _files_without_rows() -> Iterator[Path]:
    # Of an upload that was killed, before it had its name.
    yield from (path for path in settings.UPLOADS_ROOT.glob("*.upload*") if _is_settled(path))
    for folder, model in owners().items():
        # Only what has a name of ours is ours to delete.
        settled = (path for path in folder.glob("??/*") if _is_settled(path))
        for paths in _batches(settled):
            named = {path: _owner(path) for path in paths}
            wanted = [row for row in named.values() if row]
            there = set(model.objects.filter(pk__in=wanted).values_list("pk", flat=True))
            yield from (path for path, row in named.items() if row not in there and (row or _is_leftover(path)))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _is_settled(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < time.time() - SETTLED_S
    except FileNotFoundError:  # deleted at this moment
        return False


def _owner(path: Path) -> uuid.UUID | None:
    try:
        return uuid.UUID(path.stem) if path.suffix in {".jpg", ""} else None
    except ValueError:
        return None


def _is_leftover(path: Path) -> bool:
    """Tell whether it is the temporary file of a write that was killed."""
    return path.name.startswith(files.UNFINISHED)
