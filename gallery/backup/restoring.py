"""Restore a backup: all of it or nothing."""

import json
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.exceptions import FieldDoesNotExist
from django.core.management.color import no_style
from django.core.serializers.base import DeserializationError
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.migrations.loader import MigrationLoader

from gallery.backup import tables
from gallery.backup.archive import BadBackup, Manifest, Picture, Reader, Rows
from gallery.curation.progress import Progress
from gallery.models import Embedding, Image, IndexGeneration, Query
from gallery.operations import workers
from gallery.queries import wakeup
from gallery.storage import disk, files
from gallery.storage.files import Stored

# Disk space of a picture beyond its bytes, on average and with some to spare.
BLOCK_BYTES = 4096
# SQLite writes a transaction to its log first, so restored rows are on the disk twice.
SQLITE_COPIES = 2


class Refused(Exception):
    """This system cannot restore this backup now; the text is a sentence with advice."""


@dataclass
class Contents:
    """What is in a backup: rows by table, picture files, and the bytes that they need on this disk."""

    rows: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    needs_bytes: int = 0


@contextmanager
def at_hand(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Provide a piped backup as a file, because it is read twice. Raises OSError (a full disk)."""
    disk.make_folder(settings.MEDIA_ROOT)
    with tempfile.TemporaryFile(dir=settings.MEDIA_ROOT) as file:  # has no name, so nothing is left of it
        shutil.copyfileobj(stream, file, 2**20)
        yield file


def verify(file: BinaryIO) -> tuple[Manifest, Contents]:
    """Read a whole backup and change nothing. Raises BadBackup."""
    contents = Contents()
    reader = _reading(file)
    with Progress(reader.manifest.items, "Verifying", "item") as progress:
        for part in reader:
            if isinstance(part, Rows):
                contents.rows[part.table] += len(part.lines)
                copies = SQLITE_COPIES if connection.vendor == "sqlite" else 0
                contents.needs_bytes += copies * sum(map(len, part.lines))
                progress.advance(len(part.lines))
            else:
                contents.pictures += 1
                if not _file(part).exists():
                    contents.needs_bytes += len(part.data) + BLOCK_BYTES
                progress.advance(1)
    return reader.manifest, contents


def restore(file: BinaryIO, *, replace: bool) -> tuple[Manifest, Contents]:
    """Put a backup into this system, in the place of everything that is there if `replace`.

    All of it or nothing, after it was read once to its end. Raises BadBackup, Refused, OSError and django.db.Error.
    """
    migrations = MigrationLoader(connection)
    if migrations.disk_migrations.keys() - migrations.applied_migrations.keys():
        raise Refused("The database is not up to date: run manage.py migrate first.")
    _refuse_to_overwrite(replace)
    manifest, contents = verify(file)
    _refuse_what_does_not_fit(manifest, contents)
    with Progress(manifest.items, "Restoring", "item") as progress:
        _fill(_reading(file), progress, replace)
    ContentType.objects.clear_cache()
    wakeup.wake_workers(wakeup.CURATE)  # a gallery worker that runs already builds the index
    return manifest, contents


def _reading(file: BinaryIO) -> Reader:
    file.seek(0)
    return Reader(file)


# --- Preconditions ------------------------------------------------------------------------------------------


def _refuse_what_does_not_fit(manifest: Manifest, contents: Contents) -> None:
    """Raise Refused where this database has another schema, or the disk too little room."""
    theirs, ours = set(manifest.migrations), set(tables.migrations())
    made_by = f"This backup was made by simsearch {manifest.simsearch}"
    if newer := sorted(theirs - ours):
        raise Refused(f"{made_by}, which has newer migrations ({newer[-1]}): install that version or a later one.")
    if later := sorted(ours - theirs):
        raise Refused(
            f"{made_by} before the migration {later[0]}, which this database has: restore it with that version, "
            "then upgrade."
        )
    storage = files.keeper()
    free = storage.free_bytes()
    if free is not None and contents.needs_bytes > free:
        raise Refused(
            f"The disk of {storage.described()} is too small: the backup needs about "
            f"{contents.needs_bytes / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free."
        )


def _refuse_to_overwrite(replace: bool) -> None:
    counted = {table: table._base_manager.count() for table in (Image, Embedding, Query, User)}
    # Failed builds are of no use, and an early build_index leaves one in an empty system.
    has_index = IndexGeneration.objects.exclude(state=IndexGeneration.State.FAILED).exists()
    if not has_index and not any(counted.values()):
        return
    if not replace:
        raise Refused(
            f"This system is not empty ({counted[Image]} pictures, {counted[Query]} queries, {counted[User]} "
            "accounts). With --replace the backup takes the place of everything in it."
        )
    try:
        running = workers.alive()
    except redis.RedisError:  # without Redis no worker runs
        running = []
    if running:
        names = ", ".join(entry.name for entry in running)
        raise Refused(
            f"Stop simsearch first: {names} would go on answering from the old index. (A worker counts as running "
            f"until {workers.ALIVE_S} seconds after its last heartbeat.)"
        )


# --- Restoring ---------------------------------------------------------------------------------------------


def _fill(reader: Reader, progress: Progress, replace: bool) -> None:
    """Change the rows in one transaction. Pictures of rows that are not visible yet, or no more, are not shown."""
    here: set[tuple[str, uuid.UUID]] = set()
    written: set[tuple[str, uuid.UUID]] = set()
    try:
        with _all_tables_locked() as cursor:
            _refuse_to_overwrite(replace)  # again, because reading the backup took a while
            here |= _pictures_here()
            for table in _quoted():  # not through the models, whose signals would delete the files
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608 (no input)
            for part in reader:
                if isinstance(part, Picture):
                    files.write(_file(part), part.data)
                    written.add((part.kind, part.id))
                    progress.advance(1)
                else:
                    progress.advance(_insert(part))
            # The ids of new rows go on after those that were restored (PostgreSQL; SQLite does so by itself).
            for statement in connection.ops.sequence_reset_sql(no_style(), tables.kept()):
                cursor.execute(statement)
    except BaseException:
        _remove_pictures(written - _pictures_here())  # read again: the failure may have come after the commit
        raise
    _remove_pictures(here - written)


def _pictures_here() -> set[tuple[str, uuid.UUID]]:
    return {
        (kind, row_id)
        for kind, (table, _) in tables.PICTURES.items()
        for row_id in table._base_manager.values_list("pk", flat=True)
    }


def _remove_pictures(pictures: set[tuple[str, uuid.UUID]]) -> None:
    files.remove(*(tables.picture_file(*picture) for picture in pictures))


def _file(picture: Picture) -> Stored:
    try:
        return tables.picture_file(picture.kind, picture.id)
    except KeyError as error:
        raise BadBackup(f"This backup holds pictures of an unknown kind ({picture.kind}).") from error


@contextmanager
def _all_tables_locked() -> Iterator[CursorWrapper]:
    """Provide a transaction that keeps out other writers, not readers, and its cursor. SQLite has one writer anyway."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {', '.join(_quoted())} IN SHARE ROW EXCLUSIVE MODE")
        yield cursor


def _quoted() -> list[str]:
    return [connection.ops.quote_name(table._meta.db_table) for table in tables.every()]


def _insert(rows: Rows) -> int:
    table = next((table for table in tables.kept() if tables.name(table) == rows.table), None)
    try:
        objects = [row.object for row in serializers.deserialize("python", map(json.loads, rows.lines))]
    except (DeserializationError, FieldDoesNotExist, KeyError, TypeError, ValueError) as error:
        raise BadBackup(f"This backup holds rows that cannot be read ({rows.table}).") from error
    if table is None or any(type(row) is not table for row in objects):
        raise BadBackup(f"This backup holds rows of a table that is not restored ({rows.table}).")
    table._base_manager.bulk_create(objects)
    return len(objects)
