"""Pictures on the disk: whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

UNFINISHED = ".new-"  # what the name of a file begins with until it is whole


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a crash leaves the whole file or none. Raises OSError (a full disk)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from nginx
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove(*paths: Path) -> None:
    """Delete the files; one that is gone already is fine."""
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
