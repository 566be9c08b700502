"""A folder of pictures, file by file, into the gallery."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gallery import curation
from gallery.errors import Refusal
from gallery.models import LONGEST_LABEL, LONGEST_TITLE, Image
from gallery.uploads import Upload, accept

WINDOW = 64  # files under way at once: bounds the memory


@dataclass
class Outcome:
    """What became of the files."""

    added: int = 0
    known: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)


def files_in(directory: Path) -> list[Path]:
    """Every file below, in order; hidden ones are left out."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(directory).parts))


def import_files(files: Sequence[Path], directory: Path, outcome: Outcome) -> Iterator[Path]:
    """Import the files one by one into `outcome`, and yield each when it is through. Raises Refusal on a full disk."""
    known = set(Image.objects.values_list("content_hash", flat=True))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(files), WINDOW):
            window = files[start : start + WINDOW]
            for path, result in zip(window, threads.map(lambda path: _read(path, known), window), strict=True):
                _take(path, result, path.parent.name if path.parent != directory else "", outcome)
                yield path


def _read(path: Path, known: set[str]) -> Upload | Refusal | OSError | None:
    """Decode a file unless its content is known (None). Runs in the threads: it touches no row."""
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() in known:
                return None
            file.seek(0)
            return accept(file, with_thumbnail=True)
    except (Refusal, OSError) as error:
        return error


def _take(path: Path, result: Upload | Refusal | OSError | None, label: str, outcome: Outcome) -> None:
    if result is None:
        outcome.known += 1
    elif isinstance(result, Upload):
        _keep(path, result, label, outcome)
    else:
        outcome.refused.append((path, str(result)))


def _keep(path: Path, upload: Upload, label: str, outcome: Outcome) -> None:
    try:
        curation.keep(Image(label=label[:LONGEST_LABEL], title=path.stem[:LONGEST_TITLE]), upload)
    except curation.AlreadyThere:
        outcome.known += 1
    else:
        outcome.added += 1
