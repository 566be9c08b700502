"""Scan folders of this machine's disk for files to import; leaves out files by their name and kind."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from django.conf import settings

from gallery.curation.folders.left_out import LeftOut, is_utf8, text_of
from gallery.text import kept_label, tidied

# Folders of file systems, network storage and photo programs, in lower case.
SYSTEM_FOLDERS = (
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # Synology, QNAP
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.[0-9]*"),  # Windows
    *("lost+found", "__macosx", "network trash folder", "temporary items", "*.lrdata"),  # Linux, macOS, Lightroom
)
HIDDEN = "Hidden, or a folder of thumbnails or deleted files"
OWN = "simsearch's own pictures"
LINKED = "Linked folders (import_images --follow-links imports them)"
CIRCLE = "Links to a folder that is read anyway"
SPECIAL = "Links that lead nowhere, pipes and the like"
LabelFrom = Callable[[Path, Path], str]


@dataclass(frozen=True)
class Source:
    """A file to import, with the title and the label that its place gives it, or a table.

    `created_at`: now, if not given; `taken_at`: by its Exif data, if not given.
    """

    path: Path
    title: str
    label: str
    is_hidden: bool = False
    created_at: datetime | None = None
    taken_at: datetime | None = None

    @property
    def has_foreign_name(self) -> bool:
        """Tell whether its name or its folder's is not UTF-8."""
        return not (is_utf8(self.path.name) and is_utf8(self.path.parent.name))


def scan(places: Sequence[Path], left_out: LeftOut, *, follow_links: bool = False, label_from: str) -> list[Source]:
    """Return the files at these places, in order, each once; `label_from` is a key of LABELS."""
    found: dict[Path, Source] = {}
    for place in map(Path, map(os.path.abspath, places)):
        is_folder = place.is_dir()
        folder = place if is_folder else place.parent.parent  # so that a file's label is the name of its folder
        for path in _Walk(left_out, follow_links).files(place) if is_folder else [place]:
            found.setdefault(path, source(path, folder, label_from))
    return [found[path] for path in sorted(found)]


def source(path: Path, folder: Path, label_from: str) -> Source:
    """Return the file with its title, and with the label that it has below this folder."""
    title = tidied(text_of(path.stem))
    return Source(path, title, kept_label(LABELS[label_from](path.parent, folder)))


# How a file gets its label from its place below the imported folder.
LABELS: dict[str, LabelFrom] = {
    "parent": lambda place, folder: "" if place == folder else text_of(place.name),
    "path": lambda place, folder: "/".join(text_of(part) for part in place.relative_to(folder).parts),
    "none": lambda place, folder: "",
}


def reason_to_skip(name: str, *, is_folder: bool) -> str | None:
    """Return why a file or folder of this name is left out; None if it is not."""
    is_system = is_folder and any(fnmatchcase(name.lower(), pattern) for pattern in SYSTEM_FOLDERS)
    return HIDDEN if is_system or name.startswith(".") else None


def unreadable(error: OSError) -> str:
    """Return the reason for a file or folder that cannot be read."""
    return f"Cannot be read ({error.strerror or 'I/O error'})"


class _Walk:
    """One walk through a folder. Linked folders come last, so a folder that is reached twice keeps its own name."""

    def __init__(self, left_out: LeftOut, follow_links: bool) -> None:
        self.left_out = left_out
        self.follow_links = follow_links
        own = (settings.MEDIA_ROOT, settings.UPLOADS_ROOT)  # where the gallery stores its own pictures
        self._own = {_identity(folder) for folder in own if folder.is_dir()}
        self._seen: set[tuple[int, int]] = set()
        self._folders: list[Path] = []
        self._links: list[Path] = []

    def files(self, top: Path) -> Iterator[Path]:
        self._folders.append(top)
        while self._folders or self._links:
            folder = self._folders.pop() if self._folders else self._links.pop(0)
            try:
                if self._is_new(folder):
                    yield from self._files_in(folder)
            except OSError as error:
                self.left_out.add(unreadable(error), folder)

    def _is_new(self, folder: Path) -> bool:
        """Tell whether this folder has not been read yet. Raises OSError."""
        identity, is_top = _identity(folder), not self._seen
        leads_up = folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
        if identity in self._seen or (leads_up and not is_top):
            self.left_out.add(CIRCLE, folder)
            return False
        if identity in self._own:
            self.left_out.add(OWN, folder)
            return False
        self._seen.add(identity)
        return True

    def _files_in(self, folder: Path) -> Iterator[Path]:
        """Yield the files of a folder. Raises OSError where it cannot be listed or its files cannot be opened."""
        if not os.access(folder, os.X_OK):
            raise PermissionError(None, "Permission denied")
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if self._is_file(entry):
                        yield Path(entry.path)
                except OSError as error:
                    is_own_target = error.errno == errno.ELOOP
                    self.left_out.add(SPECIAL if is_own_target else unreadable(error), Path(entry.path))

    def _is_file(self, entry: os.DirEntry[str]) -> bool:
        """Tell whether it is a file to import; folders are queued. Raises OSError."""
        path, is_folder, is_link = Path(entry.path), entry.is_dir(), entry.is_symlink()
        if reason := reason_to_skip(entry.name, is_folder=is_folder):
            self.left_out.add(reason, path)
        elif is_folder and is_link and not self.follow_links:
            self.left_out.add(LINKED, path)
        elif is_folder:
            (self._links if is_link else self._folders).append(path)
        elif not entry.is_file():
            self.left_out.add(SPECIAL, path)
        else:
            return True
        return False


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
