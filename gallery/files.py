"""Pictures on the disk: whole or not at all, and what nginx sends readable for it: its account is in our group."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from django.conf import settings

UNFINISHED = ".new-"  # what the name of a file begins with until it is whole


def write(path: Path, data: bytes | Path) -> None:
    """Put `data`, or a copy of that file, at `path` in one step: a crash leaves the whole file or none.

    Raises OSError (a full disk).
    """
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, 2**20)
            else:
                file.write(data)
        if _is_sent(path):
            Path(temporary).chmod(0o640)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):  # made at this moment
        folder.mkdir(mode=0o700)
        if _is_sent(folder):
            folder.chmod(0o750)


def _is_sent(path: Path) -> bool:
    """Tell whether nginx sends what is there (SIMSEARCH_ACCEL_PREFIX)."""
    return path.is_relative_to(settings.MEDIA_ROOT)


def remove(*paths: Path) -> None:
    """Delete the files; one that is gone already is fine."""
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
