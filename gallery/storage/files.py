"""Files of pictures and uploads, as rows name them (`Stored`).

The storages of Django's settings keep them: the data directory (disk.py), or a bucket of an S3 server (s3.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from django.conf import settings
from django.core.files.storage import storages
from django.core.files.uploadedfile import UploadedFile

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
