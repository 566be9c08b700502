"""Files of pictures and uploads, on the disk or on S3: the only module that knows their paths.

Rows name their files (`Stored`); the storages of Django's settings keep them: the data directory, or S3
(gallery/object_storage.py).
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.core.files.uploadedfile import UploadedFile

UNFINISHED = ".new-"  # prefix of the name of a file until it is complete
RESERVED_BYTES = 8 * 2**20  # free space that uploads leave to the database, Redis and the logs

# Aliases of settings.STORAGES. `received`: bodies of requests, on this host in any case. `index`: index
# files and weights for other hosts; only where the storage is remote.
Area = Literal["default", "originals", "uploads", "received", "index"]


class StorageAway(OSError):
    """The storage does not answer; try again later."""


@dataclass(frozen=True)
class Entry:
    """A file that a storage has; `modified_at` in seconds since the epoch."""

    name: str
    size_bytes: int
    modified_at: float


class Keeper(Protocol):
    """The interface of both storages. Methods raise FileNotFoundError, StorageAway, or OSError (no space)."""

    def exists(self, name: str) -> bool:
        """Tell whether the file is there."""

    def size(self, name: str) -> int:
        """Return its bytes. Raises FileNotFoundError."""

    def write(self, name: str, data: bytes | Path) -> None:
        """Keep a file, or a copy of one, in one step: a crash leaves the whole file or none."""

    def take(self, name: str, file: "UploadedFile[Any]") -> None:
        """Keep an uploaded file."""

    def source(self, name: str) -> Path | bytes:
        """Return the file for a decoder."""

    def fetch(self, name: str, path: Path) -> None:
        """Copy the file to this path, without holding it in memory."""

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is gone already is fine."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Return all files below a folder, which ends with a slash or is empty."""

    def link(self, name: str, *, is_download: bool = False) -> str | None:
        """Return an address that shows the file for a short time; None where Django has to send it."""

    def require_room(self) -> None:
        """Raise OSError where what is left is reserved."""

    def free_bytes(self) -> int | None:
        """Return how much more it can keep; None where that is not known."""

    def described(self) -> str:
        """Say where it keeps files, for the operator."""


@dataclass(frozen=True, order=True)
class Stored:
    """A file of a row; it may not exist yet, or no longer."""

    area: Area
    name: str

    @property
    def _keeper(self) -> Keeper:
        return keeper(self.area)

    @property
    def path(self) -> Path:
        """Return its path on this host's disk. Raises NotImplementedError for other storages."""
        return Path(storages[self.area].path(self.name))

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return self._keeper.exists(self.name)

    def size(self) -> int:
        """Return its size in bytes; 0 if it is gone."""
        try:
            return self._keeper.size(self.name)
        except FileNotFoundError:
            return 0

    def source(self) -> Path | bytes:
        """Return the path or the bytes for a decoder. Raises OSError, here or when it is read."""
        return self._keeper.source(self.name)

    def source_if_there(self) -> Path | bytes | None:
        """Do the same, without another request; None if the file is gone. Raises OSError as `source` does."""
        try:
            source = self.source()
        except FileNotFoundError:
            return None
        return source if isinstance(source, bytes) or source.exists() else None

    def read_bytes(self) -> bytes:
        """Return its bytes. Raises OSError."""
        source = self.source()
        return source if isinstance(source, bytes) else source.read_bytes()

    def link(self, *, is_download: bool = False) -> str | None:
        """Return an address that shows the file for a short time; None where Django has to send it."""
        return self._keeper.link(self.name, is_download=is_download)


def keeper(area: Area = "default") -> Keeper:
    """Return the storage of an area."""
    return cast(Keeper, storages[area])


def is_remote() -> bool:
    """Tell whether reading a picture waits for the network."""
    return str(settings.SIMSEARCH_STORAGE) != "disk"


def write(file: Stored, data: bytes | Path) -> None:
    """Keep a file, or a copy of one, in one step. Raises OSError (no space)."""
    keeper(file.area).write(file.name, data)


def take(file: Stored, uploaded: "UploadedFile[Any]") -> None:
    """Store an uploaded file that only our own processes can read. Raises OSError (no space)."""
    keeper(file.area).take(file.name, uploaded)


def remove(*files: Stored) -> None:
    """Delete the files; one that is gone already is fine."""
    for area in dict.fromkeys(file.area for file in files):
        keeper(area).remove(file.name for file in files if file.area == area)


def entries(area: Area, folder: str) -> Iterator[tuple[Stored, Entry]]:
    """Return all files below a folder of an area."""
    return ((Stored(area, entry.name), entry) for entry in keeper(area).entries(folder))


# --- The disk -------------------------------------------------------------------------------------------------


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
