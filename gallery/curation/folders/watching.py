"""Folders that are imported as they change.

Any change leads to a scan of all files: a moved folder is one event of the system, and a change on a network disk is
none. A file is imported when two scans find it unchanged, and counts as gone when two scans miss it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import watch

from gallery.curation.folders.left_out import LeftOut
from gallery.curation.folders.scanning import Source
from gallery.models import Image

LOOK_MS = 1000  # between two scans while files change
LOOK_ANYWAY_S = 60.0
Scan = Callable[[], tuple[list[Source], LeftOut]]
Look = dict[Source, tuple[int, int]]  # size and time of change


@dataclass
class FolderChanges:
    """The result of one scan: files to import, and files that are gone."""

    settled: list[Source] = field(default_factory=list)
    gone: set[Source] = field(default_factory=set)


class Watcher:
    """Compares the files of folders with those that were imported; `scan` lists them, and what it left out."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._imported: Look = {}
        self._before: Look = {}
        self.is_unsettled = False

    def first(self) -> tuple[list[Source], LeftOut]:
        """Return what `scan` does; from now on these files count as imported."""
        sources, left_out = self._scan()
        self._imported = self._before = _look(sources)
        return sources, left_out

    def changes(self) -> FolderChanges:
        """Scan once and return the files that no longer change."""
        sources, left_out = self._scan()
        now = _look(sources)
        if not now:  # perhaps a disk that is not mounted
            return FolderChanges()
        new = {source for source, signature in now.items() if self._imported.get(source) != signature}
        settled = [source for source in now if source in new and self._before.get(source) == now[source]]
        missing = {source for source in self._imported.keys() - now.keys() if not left_out.has(source.path)}
        gone = missing - self._before.keys()
        self.is_unsettled = len(new) > len(settled) or missing > gone
        self._before = now
        for source in gone:
            del self._imported[source]
        self._imported.update((source, now[source]) for source in settled)
        return FolderChanges(settled, gone)


def _look(sources: list[Source]) -> Look:
    found = {}
    for source in sources:
        with suppress(OSError):  # gone since it was listed
            stat = source.path.stat()
            found[source] = (stat.st_size, stat.st_mtime_ns)
    return found


def rounds(places: Sequence[Path], watcher: Watcher) -> Iterator[FolderChanges]:
    """Yield the changes in these folders until Ctrl-C. Raises OSError: too many folders for the system."""
    looked_at = time.monotonic()
    for has_changed in _events(places):
        if has_changed or watcher.is_unsettled or time.monotonic() - looked_at > LOOK_ANYWAY_S:
            looked_at = time.monotonic()
            changes = watcher.changes()
            if changes.settled or changes.gone:
                yield changes


def _events(places: Sequence[Path]) -> Iterator[bool]:
    """Yield at least every LOOK_MS whether there may be a change; there may be one before the system reports them.

    The system watches a directory, not its path: when a disk is mounted there, or another folder takes its place, the
    watch begins again.
    """
    while True:
        watched = list(map(_directory, places))
        try:
            events = watch(
                *places,
                watch_filter=None,
                debounce=LOOK_MS,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            )
            for number, event in enumerate(events):
                yield number == 0 or bool(event)
                if list(map(_directory, places)) != watched:
                    break
        except RuntimeError:  # a change of a name that is not UTF-8, which watchfiles cannot tell
            yield True
        except FileNotFoundError:  # the folder is gone; it may come back
            time.sleep(LOOK_MS / 1000)
            yield True


def _directory(place: Path) -> tuple[int, int] | None:
    """Return its device and its inode; None while it is not there."""
    with suppress(OSError):
        stat = place.stat()
        return stat.st_dev, stat.st_ino
    return None


class Mirror:
    """Hides the pictures whose files are gone, and shows them again when the files are back."""

    def __init__(self) -> None:
        self._hidden: set[str] = set()

    def follow(self, before: set[str], now: set[str]) -> tuple[int, int]:
        """Hide the pictures whose files are gone; returns how many were hidden, and how many are shown again."""
        gone, back = before - now, self._hidden & now
        hidden = set(
            Image.objects.filter(content_hash__in=gone, is_hidden=False).values_list("content_hash", flat=True)
        )
        Image.objects.filter(content_hash__in=hidden).update(is_hidden=True)
        shown = Image.objects.filter(content_hash__in=back).update(is_hidden=False)
        self._hidden = (self._hidden | hidden) - back
        return len(hidden), shown
