"""A folder with everything odd that people's disks have, and a command that heeds the rights of files."""

import os
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.pictures import encoded, noise, scene

SYSTEM_FOLDERS = [
    *("@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "FOUND.000"),
    *("lost+found", ".thumbnails", ".Trash-1000", "__MACOSX", "@Recycle", ".@__thumb", "Catalog Previews.lrdata"),
]
MOVIE = b"\0\0\0\x14ftypqt  \0\0\x02\0qt  " + bytes(1000)
OTHER_KINDS = {
    "IMG_1.MOV": MOVIE,
    "IMG_2.MOV": MOVIE,
    "IMG_1.AAE": b"<?xml version='1.0'?><plist/>",
    "IMG_1.xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "IMG_1.jpg.json": b"{}",
    "desktop.ini": b"[.ShellClassInfo]\r\n",
    "README": b"my pictures",
}
LABEL = "Grüne Äpfel"
# By title and label: what is a picture, whatever is around it.
PICTURES = {
    ("loose", ""),
    ("crème", "café"),
    ("two lines", "tab and space"),
    ("composed", LABEL),
    ("decomposed", LABEL),
    ("shouted", LABEL),
    ("large", "cat"),
    ("no suffix of ours", "cat"),
    ("linked file", "cat"),
}


def heeding_rights() -> list[str]:
    """Return what a command line begins with so that root is refused as anybody else is."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may read everything, and there is no setpriv that takes this right away")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


@contextmanager
def odd_folder(folder: Path) -> Iterator[Path]:
    """Provide the folder; its closed folders are open again afterwards, so that it can be removed."""
    numbers = iter(range(1000))

    def put(*names: str | bytes) -> None:
        path = folder.joinpath(*map(os.fsdecode, names))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise(48, 32, next(numbers)), "PNG"))

    folder.mkdir()
    (folder / "loose.png").write_bytes(encoded(scene(), "PNG"))
    put(b"caf\xe9", b"cr\xe8me.png")
    put("tab\tand  space ", "two\nlines.png")
    put(LABEL, "composed.png")
    put(unicodedata.normalize("NFD", LABEL), "decomposed.png")
    put(LABEL.upper(), "shouted.png")
    put("cat", "no suffix of ours.dat")
    (folder / "cat" / "large.bmp").write_bytes(encoded(Image.effect_noise((2600, 2300), 50).convert("RGB"), "BMP"))
    for name in SYSTEM_FOLDERS:
        put("cat", name, "left over.png")
    put("cat", ".hidden.png")
    for name, data in OTHER_KINDS.items():
        (folder / "cat" / name).write_bytes(data)
    _unusable(folder / "damaged")
    _links(folder)
    for name, mode in (("closed", 0o000), ("not to be entered", 0o444), ("not to be listed", 0o311)):
        put(name, "inside.png")
        (folder / name).chmod(mode)
    put("no rights.png")
    (folder / "no rights.png").chmod(0o000)
    yield folder
    for name in ("closed", "not to be entered", "not to be listed"):
        (folder / name).chmod(0o755)


def _unusable(folder: Path) -> None:
    folder.mkdir()
    (folder / "empty.jpg").touch()
    (folder / "page.jpg").write_bytes(b"<!doctype html>")
    (folder / "half.png").write_bytes(encoded(noise(), "PNG")[:300])
    (folder / "half.jpg").write_bytes(encoded(scene(), "JPEG")[:200])


def _links(folder: Path) -> None:
    elsewhere = folder.with_name(f"{folder.name} elsewhere")
    elsewhere.mkdir()
    (elsewhere / "linked.png").write_bytes(encoded(noise(48, 32, 2000), "PNG"))
    (elsewhere / "file.png").write_bytes(encoded(noise(48, 32, 2001), "PNG"))
    (folder / "holiday").symlink_to(elsewhere)
    (folder / "cat" / "linked file.png").symlink_to(elsewhere / "file.png")
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "cat" / "up").symlink_to(folder.parent)
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "cat" / "itself").symlink_to("itself")
    os.mkfifo(folder / "pipe.png")
