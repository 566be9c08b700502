"""Pictures decoded into the gallery: a folder file by file, a single one, and those that were uploaded."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from engine.errors import BadImage
from gallery import files
from gallery.curation import library
from gallery.curation.pictures import Encoded, own_limits, reencode
from gallery.errors import Refusal
from gallery.models import LONGEST_LABEL, LONGEST_TITLE, Image

Read = tuple[str, Encoded]  # the content hash, and what was made of the file

SETTING_OF_CODE = {"too_large": "SIMSEARCH_MAX_UPLOAD_BYTES", "too_many_pixels": "SIMSEARCH_MAX_PIXELS"}
WINDOW = 64  # files under way at once: bounds the memory


@dataclass
class Outcome:
    """What became of the files."""

    added: int = 0
    incomplete: int = 0  # of those that were added
    known: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)


def files_in(directory: Path) -> list[Path]:
    """Every file below, in order; hidden ones are left out."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(directory).parts))


def import_files(paths: Sequence[Path], directory: Path, outcome: Outcome) -> Iterator[Path]:
    """Import the files one by one into `outcome`, and yield each when it is through. Raises Refusal on a full disk."""
    known = set(Image.objects.values_list("content_hash", flat=True))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(paths), WINDOW):
            window = paths[start : start + WINDOW]
            for path, result in zip(window, threads.map(lambda path: _read(path, known), window), strict=True):
                _take(path, result, path.parent.name if path.parent != directory else "", outcome)
                yield path


def add(file: BinaryIO, *, label: str = "", title: str = "") -> Image:
    """Put one picture into the gallery; wake `wakeup.CURATE` after the last one.

    Raises Refusal (an unusable picture, no room) and AlreadyThere.
    """
    data = file.read(settings.SIMSEARCH_MAX_UPLOAD_BYTES + 1)  # one more is refused as too large
    content_hash = hashlib.sha256(data).hexdigest()
    if existing := library.find(content_hash):
        raise library.AlreadyThere(existing)
    image = Image(label=label[:LONGEST_LABEL], title=title[:LONGEST_TITLE])
    library.keep(image, content_hash, _reencoded(data))
    return image


def decode_pending(limit: int) -> int:
    """Decode up to `limit` uploaded gallery pictures; returns how many were looked at. Raises OSError (a full disk).

    A picture that cannot be read is marked with its problem and not tried again.
    """
    pending = list(Image.objects.pending().order_by("created_at")[:limit])
    for image in pending:
        try:
            encoded = _reencoded(image.upload_path.read_bytes())
        except FileNotFoundError:
            _mark(image, problem="Its file is missing.")
        except Refusal as refusal:
            _mark(image, problem=str(refusal)[:200])
        else:
            library.write(image, encoded)
            is_there = _mark(image, is_pending=False, width_px=encoded.width_px, height_px=encoded.height_px)
            if not is_there:  # deleted meanwhile
                files.remove(image.picture_path, image.thumbnail_path)
        files.remove(image.upload_path)
    return len(pending)


def _mark(image: Image, **fields: object) -> bool:
    return bool(Image.objects.filter(pk=image.pk).update(**fields))


def _reencoded(data: bytes) -> Encoded:
    """Raises Refusal."""
    try:
        return reencode(data)
    except BadImage as error:
        raise Refusal(error.code, str(error)) from error


def _read(path: Path, known: set[str]) -> Read | Refusal | OSError | None:
    """Decode a file unless its content is known (None). Runs in the threads: it touches no row."""
    try:
        most = own_limits()
        with path.open("rb") as file:
            data = file.read(most.max_bytes + 1)  # one more is refused as too large
        content_hash = hashlib.sha256(data).hexdigest()
        return None if content_hash in known else (content_hash, reencode(data, most))
    except BadImage as error:
        setting = SETTING_OF_CODE.get(error.code)
        return Refusal(error.code, f"{error} The setting is {setting}." if setting else str(error))
    except OSError as error:
        return error


def _take(path: Path, result: Read | Refusal | OSError | None, label: str, outcome: Outcome) -> None:
    if result is None:
        outcome.known += 1
    elif isinstance(result, tuple):
        _keep(path, *result, label, outcome)
    else:
        outcome.refused.append((path, str(result)))


def _keep(path: Path, content_hash: str, encoded: Encoded, label: str, outcome: Outcome) -> None:
    try:
        library.keep(Image(label=label[:LONGEST_LABEL], title=path.stem[:LONGEST_TITLE]), content_hash, encoded)
    except library.AlreadyThere:
        outcome.known += 1
    else:
        outcome.added += 1
        outcome.incomplete += encoded.is_incomplete
