"""The files that an import leaves out, with reasons: a few lines by reason, or a line for each file."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

OTHER_KIND = "Files of other kinds"
MOST_REASONS, MOST_NAMES, MOST_KINDS = 7, 3, 10
LONGEST_NAME, LONGEST_SUFFIX = 40, 8


class LeftOut:
    """Files and folders by the reason why they are left out."""

    def __init__(self) -> None:
        self._paths: dict[str, list[Path]] = {}

    def __bool__(self) -> bool:
        return bool(self._paths)

    def add(self, reason: str, path: Path) -> None:
        """Count one file or folder under its reason."""
        self._paths.setdefault(reason, []).append(path)

    def has(self, path: Path) -> bool:
        """Tell whether the path or a folder above it is among these."""
        return any(not {path, *path.parents}.isdisjoint(paths) for paths in self._paths.values())

    def lines(self, base: Path | None) -> list[str]:
        """Return a line for each reason, the most frequent first; the rarest share one where there are too many.

        `base`: the folder that the names are relative to.
        """
        by_count = sorted(self._paths.items(), key=lambda item: -len(item[1]))
        shown = by_count if len(by_count) <= MOST_REASONS else by_count[: MOST_REASONS - 1]
        lines = [_line(reason, paths, base) for reason, paths in shown]
        if rest := by_count[len(shown) :]:
            reasons = "; ".join(_lower(reason) for reason, _ in rest)
            lines.append(f"For other reasons: {sum(len(paths) for _, paths in rest)} ({reasons})")
        return lines

    def details(self, base: Path | None) -> Iterator[str]:
        """Return a line for each file or folder."""
        for reason, paths in self._paths.items():
            for path in sorted(paths):
                yield f"{_shown(path, base)}: {_lower(reason)}"


def text_of(name: str) -> str:
    """Return the name of a file as text; one that is not UTF-8 is read as Windows-1252."""
    return name if is_utf8(name) else os.fsencode(name).decode("cp1252", "replace")


def is_utf8(name: str) -> bool:
    """Tell whether a file name is valid UTF-8."""
    try:
        os.fsencode(name).decode()
    except UnicodeDecodeError:
        return False
    return True


def _lower(reason: str) -> str:
    return reason[0].lower() + reason[1:]


def _line(reason: str, paths: list[Path], base: Path | None) -> str:
    if reason == OTHER_KIND:
        kinds = Counter(map(_kind, paths)).most_common()
        named = [f"{count} {kind}" for kind, count in kinds[:MOST_KINDS]]
        more = len(kinds) > MOST_KINDS
    else:
        names = (_shown(path, base) for path in sorted(paths)[:MOST_NAMES])
        named = [name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}" for name in names]
        more = len(paths) > MOST_NAMES
    return f"{reason}: {len(paths)} ({', '.join(named)}{', …' if more else ''})"


def _kind(path: Path) -> str:
    """Return the suffix, if the text after the last point is one and not part of a sentence."""
    suffix = path.suffix[1:].upper()
    return suffix if suffix.isalnum() and len(suffix) <= LONGEST_SUFFIX else "without a suffix"


def _shown(path: Path, base: Path | None) -> str:
    """Return the path as printable text."""
    relative = path.relative_to(base) if base and path != base and path.is_relative_to(base) else path
    text = "/".join(text_of(part) for part in relative.parts).replace("//", "/", 1)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
