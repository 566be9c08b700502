"""Archives of pictures that a curator uploads: received in parts, then imported by a worker, file by file.

Nothing is unpacked to the disk, no name in an archive is used as a path, and each file is read up to the limit of an
upload, whatever the archive says of its size.
"""

import hashlib
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from engine.errors import BadImage
from gallery import text
from gallery.curation import library, parts, pictures
from gallery.curation.folders import scanning
from gallery.errors import Refusal, no_space
from gallery.models import LONGEST_TITLE, Image, ZipImport
from gallery.queries import uploads, wakeup
from gallery.storage import files

if TYPE_CHECKING:
    from _typeshed import SupportsRead

PART_BYTES = 4 * 2**20  # that one request may bring: they are held in memory
STEP = 16  # files of one task: the next task waits some seconds
MOST_FILES = 50_000
MOST_DIRECTORY_BYTES = 16 * 2**20  # what Python reads into memory to list the files
MOST_BYTES = 32 * 2**30
MOST_RATIO = 200  # uncompressed to compressed, of the whole archive; pictures hardly compress
REFUSED_LISTED = 500
SHOWN = timedelta(hours=1)
KEPT = timedelta(days=1)  # the rest of an interrupted upload, and the row of a finished import
END_BYTES, COMMENT_BYTES = 22, 2**16
END, END64_PLACE, END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
# What zipfile raises on a damaged or encrypted archive: besides its own exception those of deflate, of LZMA and of
# bzip2 (OSError); EOFError where the file ends too soon; RuntimeError for a password, an unknown method or version;
# ValueError for a name that is not UTF-8; ValueError and OSError for an impossible place in the file.
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError)


class BadArchive(Exception):
    """An archive that is not imported; its text is a sentence."""


class Misplaced(Exception):
    """A part does not go on where the parts before ended; `received`: how many bytes there are."""

    def __init__(self, received: int) -> None:
        super().__init__(f"{received} bytes have arrived.")
        self.received = received


# --- Receiving ------------------------------------------------------------------------------------------------


def begin(name: str, size: int, label: str, by: str, *, label_from_folder: bool = False) -> ZipImport:
    """Begin an upload, or continue the same one after an interruption. Raises Refusal."""
    if not 0 < size <= MOST_BYTES:
        raise Refusal("too_large", f"An archive has at most {MOST_BYTES // 2**30} GB.")
    known = ZipImport.objects.filter(name=name[-255:], size=size, requested_by=by, received__lt=F("size"))
    row = known.order_by("-created_at").first() or ZipImport(name=name[-255:], size=size, requested_by=by)
    row.label, row.label_from_folder = text.kept_label(label), label_from_folder
    row.save()
    return row


def receive(row: ZipImport, offset: int, source: "SupportsRead[bytes]") -> ZipImport:
    """Append a part of the archive, of at most PART_BYTES. Raises Misplaced, and Refusal `no_space` or `busy`."""
    if offset != row.received:
        raise Misplaced(row.received)
    try:
        end = parts.keep(row, offset, _read(source, min(PART_BYTES, row.size - offset)))
    except files.StorageAway as error:
        raise uploads.storage_away() from error
    except OSError as error:
        raise no_space() from error
    if not ZipImport.objects.filter(pk=row.pk, received=offset).update(received=end):
        raise Misplaced(ZipImport.objects.get(pk=row.pk).received)
    row.received = end
    if end == row.size:
        wakeup.wake_workers(wakeup.ZIP)
    return row


def _read(source: "SupportsRead[bytes]", most: int) -> bytes:
    """Return up to `most` bytes, fewer at the end."""
    data = bytearray()
    while len(data) < most and (chunk := source.read(min(most - len(data), 2**16))):
        data += chunk
    return bytes(data)


# --- Importing ------------------------------------------------------------------------------------------------


def unfinished() -> "QuerySet[ZipImport]":
    """Return the archives that have arrived completely and are not imported completely."""
    return ZipImport.objects.filter(finished_at__isnull=True, received=F("size"))


def shown(by: str) -> "QuerySet[ZipImport]":
    """Return the unfinished and just imported archives of an account, the newest first."""
    recent = Q(finished_at__isnull=True, received=F("size")) | Q(finished_at__gt=timezone.now() - SHOWN)
    return ZipImport.objects.filter(recent, requested_by=by).order_by("-created_at")


def step() -> bool:
    """Import the next files of the oldest archive; returns False when there is none.

    Raises Refusal on a full disk, and files.StorageAway.
    """
    row = unfinished().order_by("created_at").first()
    if row is None:
        return False
    try:
        with wakeup.once(), io.BufferedReader(parts.Archive(row)) as file:
            _import(row, file)
    except FileNotFoundError:
        _finish(row, "The archive is gone; upload it again.")
    except BadArchive as error:
        _finish(row, str(error))
    return True


def _import(row: ZipImport, file: BinaryIO) -> None:
    """Import the next files. Raises BadArchive, Refusal on a full disk, and files.StorageAway."""
    try:
        _check_directory(file)
        archive = zipfile.ZipFile(file)
    except files.StorageAway:
        raise
    except BROKEN as error:
        raise BadArchive("This is no ZIP archive, or it is damaged.") from error
    entries = list(_pictures(archive, row.size))
    ZipImport.objects.filter(pk=row.pk).update(total=len(entries))
    for place, entry in enumerate(entries[row.done : row.done + STEP], start=row.done):
        if not _import_one(row, archive, place, entry):
            return  # another worker did
    if row.done + STEP >= len(entries):
        _finish(row)


def _check_directory(file: BinaryIO) -> None:
    """Refuse a list of files that takes much memory to read. Raises BadArchive and ValueError."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - END_BYTES - COMMENT_BYTES))
    tail = file.read()
    at = tail.rindex(END)
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at >= 20 and tail[at - 20 : at - 16] == END64_PLACE:
        file.seek(int.from_bytes(tail[at - 12 : at - 4], "little"))
        head = file.read(48)
        size = int.from_bytes(head[40:48], "little") if head.startswith(END64) else MOST_DIRECTORY_BYTES + 1
    file.seek(0)
    if size > MOST_DIRECTORY_BYTES:
        raise BadArchive(f"The archive has more than {MOST_FILES:,} files; split it.")


def _pictures(archive: zipfile.ZipFile, size: int) -> Iterator[zipfile.ZipInfo]:
    """Return the files that may be pictures. Raises BadArchive."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise BadArchive(f"The archive has more than {MOST_FILES:,} files; split it.")
    if sum(entry.compress_size for entry in entries) > size:
        raise BadArchive("Files in this archive overlap: it is not what it seems.")
    if sum(entry.file_size for entry in entries) > MOST_RATIO * size:
        raise BadArchive("This archive claims to hold far more than pictures do.")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        is_left_out = any(scanning.reason_to_skip(part, is_folder=True) for part in path.parent.parts)
        if not is_left_out and not scanning.reason_to_skip(path.name, is_folder=False):
            yield entry


def _import_one(row: ZipImport, archive: zipfile.ZipFile, place: int, entry: zipfile.ZipInfo) -> bool:
    """Import a file; returns False if another worker did. Raises Refusal on a full disk, and files.StorageAway."""
    try:
        with archive.open(entry) as file:
            data = file.read(settings.SIMSEARCH_MAX_UPLOAD_BYTES + 1)
    except files.StorageAway:
        raise
    except BROKEN:
        return _refuse(row, place, entry, "This file cannot be read from the archive; it is damaged or encrypted.")
    content_hash = hashlib.sha256(data).hexdigest()
    if library.find(content_hash):
        return _count(row, place, known=F("known") + 1)
    try:
        encoded = pictures.reencode(data)
    except BadImage as error:
        return _refuse(row, place, entry, str(error))
    folder = PurePosixPath(entry.filename).parent.name if row.label_from_folder else ""
    label = text.kept_label(folder) if folder else row.label
    image = Image(label=label, title=title_of(entry.filename)[:LONGEST_TITLE])
    try:
        with transaction.atomic():  # a killed worker counts no file twice
            library.keep(image, content_hash, encoded, data)
            return _count(row, place, added=F("added") + 1)
    except library.AlreadyThere:
        return _count(row, place, known=F("known") + 1)


def _refuse(row: ZipImport, place: int, entry: zipfile.ZipInfo, reason: str) -> bool:
    if len(row.refused) < REFUSED_LISTED:
        row.refused.append([entry.filename[:200], reason])
    return _count(row, place, refused=row.refused)


def _count(row: ZipImport, place: int, **fields: Any) -> bool:
    return bool(ZipImport.objects.filter(pk=row.pk, done=place).update(done=place + 1, **fields))


def title_of(name: str) -> str:
    """Return the title that a picture has by the name of its file."""
    return text.tidied(Path(name.replace("\\", "/").replace("\0", "")).stem)


def _finish(row: ZipImport, error: str = "") -> None:
    """End an import, unless another worker did, which has removed the parts."""
    if ZipImport.objects.filter(pk=row.pk, finished_at__isnull=True).update(finished_at=timezone.now(), error=error):
        parts.remove(row.parts_prefix)


def remove_old() -> int:
    """Delete incomplete archives and the rows of finished imports; returns how many rows."""
    long_ago = timezone.now() - KEPT
    old = Q(received__lt=F("size"), created_at__lt=long_ago) | Q(finished_at__lt=long_ago)
    return ZipImport.objects.filter(old).delete()[0]
