"""The parts of an uploaded archive: kept where every host finds them, and read as one file."""

import errno
import io
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gallery.models import ZipImport
from gallery.storage import files
from gallery.storage.files import Stored

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Part(NamedTuple):
    """The bytes of an archive from `start` to `end`, and where they are."""

    start: int
    end: int
    file: Stored


def keep(row: ZipImport, start: int, data: bytes) -> int:
    """Keep a part, whole or not at all; returns where it ends. Raises OSError (no space, files.StorageAway).

    Its end is in its name: one of the same start that was cut off does not replace it.
    """
    end = start + len(data)
    files.keeper("uploads").require_room()
    files.write(Stored("uploads", f"{row.parts_prefix}{start}-{end}"), data)
    return end


def found(prefix: str) -> list[Part]:
    """Return the parts that are there, by `ZipImport.parts_prefix`. Raises files.StorageAway."""
    kept = (file for file, _ in files.entries("uploads", f"{prefix.rpartition('/')[0]}/"))
    spans = ((file, file.name.removeprefix(prefix).split("-")) for file in kept if file.name.startswith(prefix))
    return [Part(int(start), int(end), file) for file, (start, end) in spans]


def remove(prefix: str) -> None:
    """Delete all parts. Raises files.StorageAway."""
    files.remove(*(part.file for part in found(prefix)))


class Archive(io.RawIOBase):
    """The archive as one file to read. Raises FileNotFoundError where parts are missing, and files.StorageAway."""

    def __init__(self, row: ZipImport) -> None:
        super().__init__()
        self._parts = _without_gap(found(row.parts_prefix), row.size)
        self._ends = [part.end for part in self._parts]
        self._size, self._at = row.size, 0
        self._held: tuple[int, bytes] = (-1, b"")  # the last part that was read

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read at any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place. Raises ValueError for one before the start."""
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise ValueError("There is nothing before the start of an archive.")
        self._at = at
        return at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read up to the end of the buffer or of a part."""
        if self._at >= self._size:
            return 0
        view, place = memoryview(buffer).cast("B"), bisect_right(self._ends, self._at)
        if self._held[0] != place:
            self._held = place, self._parts[place].file.read_bytes()
        begin = self._at - self._parts[place].start
        data = memoryview(self._held[1])[begin : begin + len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _without_gap(parts: Iterable[Part], size: int) -> list[Part]:
    """Return parts that follow each other; where some overlap they have the same bytes. Raises FileNotFoundError."""
    following, end = list[Part](), 0
    for part in sorted(parts, key=lambda part: (part.start, -part.end)):
        if part.start <= end < part.end:
            following.append(part)
            end = part.end
    if end < size:
        raise FileNotFoundError(errno.ENOENT, "parts of the archive are missing")
    return following
