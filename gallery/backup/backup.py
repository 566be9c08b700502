"""Back up the database and the pictures while the system serves."""

import errno
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from django.conf import settings
from django.core import serializers
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from gallery.backup import tables
from gallery.backup.archive import Manifest, Picture, Rows, Writer
from gallery.backup.tables import Table
from gallery.curation.progress import Progress
from gallery.index import generations
from gallery.models import Image, Query, QueryPart
from gallery.storage.files import Stored

ROWS_AT_ONCE = 500  # embeddings: 4 MB, and 16 MB on their way into the file


@dataclass
class Outcome:
    """What is in a backup: rows by table, and picture files.

    `deleted`: rows left out, because they were deleted while the backup was made and their pictures went first;
    `lost`: rows whose pictures were missing before.
    """

    rows: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    deleted: int = 0
    lost: list[str] = field(default_factory=list)


def write(stream: BinaryIO, *, with_queries: bool = True) -> Outcome:
    """Back up the database and the pictures into `stream`. Raises OSError and django.db.Error."""
    chosen = [table for table in tables.kept() if with_queries or table not in tables.QUERIES]
    with _snapshot(), _Present() as present:
        manifest = _manifest(chosen)
        archive = Writer(stream, manifest)
        with Progress(manifest.items, "Backing up", "item") as progress:
            copy = _Copy(archive, present, progress)
            for table in chosen:
                copy.table(table)
            archive.finish()
    return copy.outcome


@contextmanager
def into(path: Path) -> Iterator[BinaryIO]:
    """Provide a file that appears at `path` only when it is complete; only its owner can read it. Raises OSError."""
    if path.exists() and not path.is_file():  # a pipe or a device: it must stay one
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _manifest(chosen: Sequence[Table]) -> Manifest:
    rows = {tables.name(table): table._base_manager.count() for table in chosen}
    pictures = 2 * Image.objects.exclude(is_pending=True).count() + Image.objects.pending().count()
    pictures += Image.objects.filter(has_preview=True).count() + Image.objects.filter(has_original=True).count()
    if Query in chosen:
        pictures += Query.objects.filter(has_picture=True).exclude(state=Query.State.FAILED).count()
        pictures += QueryPart.objects.filter(has_picture=True).exclude(query__state=Query.State.FAILED).count()
    active = generations.active()
    return Manifest(
        simsearch=settings.SIMSEARCH_VERSION,
        made_at=timezone.now().isoformat(timespec="seconds"),
        model_id=active.model_id if active else "",
        migrations=tables.migrations(),
        rows=rows,
        pictures=pictures,
    )


@contextmanager
def _snapshot() -> Iterator[None]:
    """Provide one snapshot of the database for every query inside; it blocks no writer.

    Said to the database itself: Django's `atomic` would begin as the settings say, on SQLite with the writer's lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("BEGIN" if connection.vendor == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


class _Present:
    """Reads the database as it is now, on a second connection in its own thread: the first one sees the snapshot."""

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(lambda: connection.close()).result()  # noqa: PLW0108 (`connection` is looked up in it)
        self._thread.shutdown()

    def has(self, row: Model) -> bool:
        return self._thread.submit(type(row)._base_manager.filter(pk=row.pk).exists).result()


class _Copy:
    """Copies rows and pictures into the archive."""

    def __init__(self, archive: Writer, present: _Present, progress: Progress) -> None:
        self.outcome = Outcome()
        self._archive, self._present, self._progress = archive, present, progress
        self._gone: dict[Table, set[Any]] = {}

    def table(self, table: Table) -> None:
        """Copy the rows as JSON, by the names of their fields; many-to-many relations are tables of their own."""
        names = [field.name for field in table._meta.concrete_fields]
        for rows in _in_steps(table):
            kept = [row for row in rows if self._refers_to_what_is_kept(row) and self._take_pictures(row)]
            if kept:
                values = serializers.serialize("python", kept, fields=names)
                # str: keeps the microseconds of a moment, which Django's own JSON encoder drops.
                lines = [json.dumps(row, default=str).encode() for row in values]
                self._archive.add_rows(Rows(tables.name(table), lines))
            self.outcome.rows[tables.name(table)] += len(kept)
            self._progress.advance(len(rows))

    def _refers_to_what_is_kept(self, row: Model) -> bool:
        """Tell whether the row can stay although other rows are left out; empties its references to them."""
        for relation in row._meta.concrete_fields:
            target = relation.related_model
            if target and getattr(row, relation.attname) in self._gone.get(target, ()):
                if not relation.null:
                    return False
                setattr(row, relation.attname, None)
        return True

    def _take_pictures(self, row: Model) -> bool:
        """Copy the row's pictures. False if they are missing because the row was deleted since the snapshot.

        A row that can be seen has its files: they are written before it and deleted after it.
        """
        wanted = tables.pictures_of(row)
        pictures = [picture for kind, stored in wanted.items() if (picture := _picture(kind, row, stored))]
        if len(pictures) < len(wanted):
            if not self._present.has(row):
                self._gone.setdefault(type(row), set()).add(row.pk)
                self.outcome.deleted += 1
                return False
            self.outcome.lost.append(f"{row._meta.verbose_name} {row.pk}")
        for picture in pictures:
            self._archive.add_picture(picture)
        self.outcome.pictures += len(pictures)
        self._progress.advance(len(wanted))
        return True


def _in_steps(table: Table) -> Iterator[list[Model]]:
    """Return all rows in the order of their keys; without a cursor, which would not be in the snapshot."""
    rows = table._base_manager.order_by("pk")
    step = list(rows[:ROWS_AT_ONCE])
    while step:
        yield step
        step = list(rows.filter(pk__gt=step[-1].pk)[:ROWS_AT_ONCE])


def _picture(kind: str, row: Model, stored: Sequence[Stored]) -> Picture | None:
    for file in stored:
        with suppress(FileNotFoundError):
            return Picture(kind, row.pk, file.read_bytes())
    return None
