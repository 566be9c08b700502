"""Pictures and uploads in folders of this host (SIMSEARCH_STORAGE=disk)."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import UploadedFile

from gallery.storage.files import Entry

UNFINISHED = ".new-"  # prefix of the name of a file until it is complete
RESERVED_BYTES = 8 * 2**20  # free space that uploads leave to the database, Redis and the logs


class DiskStorage(FileSystemStorage):
    """Files below a folder of the settings. Names are made of ids, so they cannot leave the folder."""

    def __init__(self, root: str = "MEDIA_ROOT") -> None:
        super().__init__()
        self._setting = root

    @property
    def root(self) -> Path:
        """Return the folder."""
        return cast(Path, getattr(settings, self._setting))

    def path(self, name: str) -> str:
        """Return where it is on this host's disk."""
        return f"{self.root}/{name}"

    def write(self, name: str, data: bytes | Path) -> None:
        """Keep a file, or a copy of one, in one step."""
        write_whole(Path(self.path(name)), data)

    def take(self, name: str, file: "UploadedFile[Any]") -> None:
        """Store an uploaded file. No row names it yet, so a killed write leaves an orphan that `prune` finds."""
        path = Path(self.path(name))
        try:
            _take(path, file)
        except FileNotFoundError:  # the first upload into this folder
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _take(path, file)

    def source(self, name: str) -> Path | bytes:
        """Return the file for a decoder."""
        return Path(self.path(name))

    def fetch(self, name: str, path: Path) -> None:
        """Copy the file to this path, without holding it in memory."""
        shutil.copyfile(self.path(name), path)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""
        for name in names:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(self.path(name))  # noqa: PTH108 (a string already)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Return all files below a folder, which ends with a slash or is empty."""
        root = str(self.root)
        for place, _, names in os.walk(f"{root}/{folder}".rstrip("/")):
            for path in (f"{place}/{name}" for name in names):
                with suppress(FileNotFoundError):  # deleted at this moment
                    stat = os.stat(path)  # noqa: PTH116 (half the time)
                    yield Entry(path.removeprefix(f"{root}/"), stat.st_size, stat.st_mtime)

    def link(self, name: str, *, is_download: bool = False) -> str | None:
        """Return an address that shows the file for a short time; None where Django has to send it."""
        return None

    def require_room(self) -> None:
        """Raise OSError where what is left is reserved."""
        make_folder(self.root)
        require_room(self.root)

    def free_bytes(self) -> int | None:
        """Return how much more it can keep; None where that is not known."""
        make_folder(self.root)
        return shutil.disk_usage(self.root).free

    def described(self) -> str:
        """Say where it keeps files, for the operator."""
        return str(self.root)


def require_room(folder: Path) -> None:
    """Raise OSError if only the reserved space of the disk is left."""
    if shutil.disk_usage(folder).free < RESERVED_BYTES:
        raise OSError(errno.ENOSPC, "the rest of the disk is reserved")


def _take(path: Path, file: "UploadedFile[Any]") -> None:
    require_room(path.parent)
    if temporary := getattr(file, "temporary_file_path", None):  # large, so it is on the disk already
        Path(temporary()).rename(path)
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        for chunk in file.chunks():
            target.write(chunk)


def write_whole(path: Path, data: bytes | Path) -> None:
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
    """Tell whether nginx, whose account is in our group, sends the files there (SIMSEARCH_ACCEL_PREFIX)."""
    return path.is_relative_to(settings.MEDIA_ROOT)
