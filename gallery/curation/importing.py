"""Decode pictures into the gallery: files of this machine's disk, and uploaded ones."""

import hashlib
import logging
import os
import random
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.conf import settings

from engine.errors import BadImage
from engine.images import headers
from gallery.curation import library
from gallery.curation.folders.left_out import OTHER_KIND, LeftOut
from gallery.curation.folders.scanning import Source, unreadable
from gallery.curation.pictures import Encoded, reencode
from gallery.models import LONGEST_TITLE, Image
from gallery.queries import uploads, wakeup
from gallery.storage import files
from gallery.text import label_key

logger = logging.getLogger(__name__)

SHUFFLED = 16  # a step is drawn from so many times as many of the oldest uploads: parallel workers seldom share one
WINDOW = 64  # files decoded at once: bounds the memory
LARGE_BYTES = 32 * 2**20  # files above are read one at a time, for the same reason
NO_PICTURE = "Empty, or of no picture format that is read here"
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
_LARGE = threading.Lock()


@dataclass(frozen=True)
class Read:
    """A file's content hash and its encoded picture; None for a picture that the gallery has."""

    content_hash: str
    encoded: Encoded | None


@dataclass(frozen=True)
class Unusable:
    """Why a file is left out; `is_picture`: it was meant to be one."""

    reason: str
    is_picture: bool = True


@dataclass
class ImportResult:
    """The result of an import; `pictures`: the content hash of each file that is a picture."""

    added: int = 0
    incomplete: int = 0  # of those that were added
    known: int = 0
    refused: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    pictures: dict[Source, str] = field(default_factory=dict)


def import_files(sources: Sequence[Source], outcome: ImportResult, *, is_dry: bool = False) -> Iterator[Source]:
    """Import the files one by one into `outcome`, and yield each when it is done. Raises Refusal on a full disk.

    `is_dry`: decode them, and change nothing.
    """
    known = set(Image.objects.values_list("content_hash", flat=True))
    with wakeup.once(), ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(sources), WINDOW):
            window = sources[start : start + WINDOW]
            rows = _named_after(window)
            read = threads.map(lambda one, rows=rows: _read(one.path, known, rows.get(one.path.stem)), window)
            for source, result in zip(window, read, strict=True):
                if isinstance(result, Unusable):
                    outcome.refused += result.is_picture
                    outcome.left_out.add(result.reason, source.path)
                else:
                    outcome.pictures[source] = result.content_hash
                    encoded = None if result.content_hash in known else result.encoded
                    if encoded and (is_dry or _keep(source, result.content_hash, encoded)):
                        outcome.added += 1
                        outcome.incomplete += encoded.is_incomplete
                    else:
                        outcome.known += 1
                    known.add(result.content_hash)
                yield source


def moved(pictures: Mapping[Source, str]) -> dict[str, str]:
    """Return the new labels, by content hash, of pictures that no folder of their label holds any more.

    A file that lies in no labelled folder says nothing about the label of its picture.
    """
    labels_of: dict[str, list[str]] = {}
    for source, content_hash in pictures.items():
        if source.label:
            labels_of.setdefault(content_hash, []).append(source.label)
    return {
        content_hash: labels_of[content_hash][0]
        for content_hash, label in Image.objects.values_list("content_hash", "label")
        if content_hash in labels_of and label_key(label) not in map(label_key, labels_of[content_hash])
    }


def relabel(new_labels: Mapping[str, str]) -> None:
    """Give pictures, named by their content hash, another label."""
    for content_hash, label in new_labels.items():
        Image.objects.filter(content_hash=content_hash).update(label=Image.objects.spelled(label))


def decode_pending(limit: int) -> int:
    """Decode up to `limit` of the oldest uploaded gallery pictures; returns how many. Raises OSError (a full disk).

    A picture that cannot be read is marked with its problem and not tried again.
    """
    oldest = list(Image.objects.pending().order_by("created_at")[: SHUFFLED * limit])
    step = random.sample(oldest, min(limit, len(oldest)))
    for image in step:
        try:
            source = image.upload_file.source()
            encoded = reencode(source)
        except FileNotFoundError:
            _fail(image, "Its file is missing.")
        except BadImage as error:
            _fail(image, str(error)[:200])
        else:
            library.write(image, encoded, source)
            names = [*library.KNOWN_BY_FILE, "has_original"]
            fields = {name: getattr(image, name) for name in names}
            is_there = Image.objects.filter(pk=image.pk).update(is_pending=False, **fields)
            if not is_there:  # deleted since
                files.remove(*image.files)
        files.remove(image.upload_file)
    return len(step)


def _fail(image: Image, problem: str) -> None:
    """Mark a picture with its problem, unless another worker has decoded it since: that removes its upload."""
    if Image.objects.filter(pk=image.pk, is_pending=True).update(problem=problem):
        logger.warning("gallery picture %s cannot be decoded: %s", image.pk, problem)


def _named_after(sources: Sequence[Source]) -> dict[str, Image]:
    """Return the gallery's pictures whose id is the name of a file, by that name: `export` names its files so."""
    ids = []
    for source in sources:
        with suppress(ValueError):
            ids.append(uuid.UUID(source.path.stem))
    found = Image.objects.exclude(is_pending=True).in_bulk(ids)
    return {str(pk): image for pk, image in found.items()}


def _is_copy(path: Path, image: Image) -> bool:
    """Tell whether a file is the stored, re-encoded picture of a row, as `export` copies it."""
    try:
        return image.picture_file.read_bytes() == path.read_bytes()
    except FileNotFoundError:
        return False


def _read(path: Path, known: set[str], row: Image | None) -> Read | Unusable:
    """Decode a file unless its content is known, or is the picture of `row`. Runs in the threads: it reads no row."""
    limits = replace(uploads.limits(), max_bytes=settings.SIMSEARCH_MAX_IMPORT_BYTES)
    try:
        with path.open("rb") as file:
            if problem := _problem_of(path, file.read(64)):
                return problem
            file.seek(0)
            size_bytes = os.fstat(file.fileno()).st_size
            with _LARGE if size_bytes > LARGE_BYTES else nullcontext():
                headers.check_bytes(size_bytes, limits)
                if row and _is_copy(path, row):
                    return Read(row.content_hash, None)
                content_hash = hashlib.file_digest(file, "sha256").hexdigest()
                return Read(content_hash, None if content_hash in known else reencode(path, limits))
    except BadImage as error:
        return Unusable(_reason(error))
    except files.StorageAway:
        raise
    except OSError as error:
        return Unusable(unreadable(error))


def _problem_of(path: Path, start: bytes) -> Unusable | None:
    """Return why a file with these first bytes is not decoded; its name does not count."""
    if start:
        with suppress(BadImage):
            headers.kind_of(start)
            return None
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Unusable(NO_PICTURE)
    return Unusable(OTHER_KIND, is_picture=False)


def _reason(error: BadImage) -> str:
    """Return the reason why a file is left out, for the operator."""
    if error.code == "too_large":
        return f"Larger than {settings.SIMSEARCH_MAX_IMPORT_BYTES / 2**20:g} MB (SIMSEARCH_MAX_IMPORT_BYTES)"
    if error.code == "too_many_pixels":
        return "Too many pixels (at most SIMSEARCH_MAX_PIXELS, in some formats fewer)"
    return str(error).partition(";")[0].rstrip(".")  # the rest asks a visitor to send another file


def _keep(source: Source, content_hash: str, encoded: Encoded) -> bool:
    """Store a picture; False if another process was quicker. Raises Refusal on a full disk."""
    image = Image(label=source.label, title=source.title[:LONGEST_TITLE], is_hidden=source.is_hidden)
    image.created_at = source.created_at or image.created_at
    encoded = replace(encoded, taken_at=source.taken_at or encoded.taken_at)
    try:
        library.keep(image, content_hash, encoded, source.path)
    except library.AlreadyThere:
        return False
    return True
