"""manage.py import_images --watch: a folder that is imported as it changes."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gallery.curation.folders.left_out import LeftOut
from gallery.curation.folders.scanning import Source, scan
from gallery.curation.folders.watching import Watcher, _events
from tests.gallery.rows import picture
from tests.sites import Site

PATIENCE_S = 60
ROWS = """
from gallery.models import Image
rows = Image.objects.order_by("title", "is_hidden").values_list("title", "label", "is_hidden")
print(json.dumps([list(row) for row in rows]))
"""


def put(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    put(tmp_path / "photos" / "cat" / "tom.png", 1)
    put(tmp_path / "photos" / "dog" / "rex.png", 2)
    return tmp_path / "photos"


@contextmanager
def watching(site: Site, folder: Path, *options: str) -> Iterator[Callable[[str], str]]:
    """Run the command, and provide a function that waits for a line of it that has these words, and returns it."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with site.start("import_images", str(folder), "--watch", *options, **pipes) as process:
        lines: list[str] = []

        def said(words: str) -> str:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                assert process.stdout
                lines.append(process.stdout.readline().decode())
                assert lines[-1], "".join(lines)
                if words in lines[-1]:
                    return lines[-1].strip()
            raise AssertionError("".join(lines))

        try:
            said("Watching for changes")
            yield said
            process.send_signal(signal.SIGINT)
            assert said("Stopped.")
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def test_files_come_in_as_they_come(tmp_path: Path, photos: Path) -> None:
    site = Site(tmp_path / "data")
    with watching(site, photos) as said:
        put(photos / "cat" / "felix.png", 3)
        assert said("imported").startswith("1 pictures imported, 0 were there already, 0 refused.")
        put(tmp_path / "elsewhere" / "lion" / "leo.png", 4)
        (tmp_path / "elsewhere" / "lion").rename(photos / "lion")  # one event for the folder, none for its file
        assert said("imported").startswith("1 pictures imported")
        put(photos / os.fsdecode(b"caf\xe9") / os.fsdecode(b"cr\xe8me.png"), 5)  # watchfiles cannot tell this name
        assert said("imported").startswith("1 pictures imported")
        put(photos / "@eaDir" / "small.png", 6)
        (photos / "cat" / "half.png").write_bytes(picture(7)[:300])
        assert "half.png" in said("is in the file")
        assert said("imported").startswith("0 pictures imported, 0 were there already, 1 refused.")
        (photos / "cat" / "tom.png").unlink()
        assert said("imported").startswith("0 pictures imported")
    rows = site.run(ROWS)
    expected = [["crème", "café"], ["felix", "cat"], ["leo", "lion"], ["rex", "dog"], ["tom", "cat"]]
    assert rows == [[*row, False] for row in expected]


def test_a_mirror_hides_what_is_gone_and_shows_it_when_it_is_back(tmp_path: Path, photos: Path) -> None:
    site = Site(tmp_path / "data")
    with watching(site, photos, "--mirror", "--relabel") as said:
        shutil.move(photos / "cat", tmp_path / "cat")
        assert "1 hidden, 0 shown again" in said("hidden")
        assert site.run(ROWS) == [["rex", "dog", False], ["tom", "cat", True]]
        shutil.move(tmp_path / "cat", photos / "cat")
        assert "0 hidden, 1 shown again" in said("hidden")
        (photos / "dog").rename(photos / "wolf")
        assert "1 moved: they took their new label. 0 hidden, 0 shown again." in said("hidden")
        (photos / "wolf" / "rex.png").write_bytes(picture(8))
        assert "1 pictures imported, 0 were there already, 0 refused. 1 hidden" in said("hidden")
    assert site.run(ROWS) == [["rex", "wolf", False], ["rex", "wolf", True], ["tom", "cat", False]]


def test_a_missing_disk_hides_nothing(tmp_path: Path, photos: Path) -> None:
    site = Site(tmp_path / "data")
    with watching(site, photos, "--mirror") as said:
        photos.rename(tmp_path / "unmounted")
        photos.mkdir()
        time.sleep(4)
        photos.rmdir()
        (tmp_path / "unmounted").rename(photos)
        put(photos / "cat" / "felix.png", 3)
        assert said("hidden").startswith("1 pictures imported, 0 were there already, 0 refused. 0 hidden")
    assert site.run(ROWS) == [["felix", "cat", False], ["rex", "dog", False], ["tom", "cat", False]]


def test_a_folder_in_the_place_of_the_watched_one_is_watched(tmp_path: Path, photos: Path) -> None:
    """As a disk that is mounted there: the system watches a directory, not its path."""

    def until_quiet() -> None:
        while next(changes):
            pass

    changes = _events([photos])
    until_quiet()
    (tmp_path / "disk" / "cat").mkdir(parents=True)
    photos.rename(tmp_path / "unmounted")
    (tmp_path / "disk").rename(photos)
    until_quiet()
    put(photos / "cat" / "felix.png", 3)
    assert any(next(changes) for _ in range(3))


# --- One look after the other -----------------------------------------------------------------------------------


@pytest.fixture
def watcher(photos: Path) -> Watcher:
    def look() -> tuple[list[Source], LeftOut]:
        left_out = LeftOut()
        return scan([photos], left_out, label_from="parent"), left_out

    watcher = Watcher(look)
    watcher.first()
    return watcher


def names(sources: Any) -> set[str]:
    return {source.path.name for source in sources}


def test_a_file_that_grows_is_left_until_it_is_whole(photos: Path, watcher: Watcher) -> None:
    data = picture(3)
    for size in range(100, len(data), len(data) // 4):
        (photos / "slow.png").write_bytes(data[:size])
        assert not watcher.changes().settled
        assert watcher.is_unsettled
    (photos / "slow.png").write_bytes(data)
    assert not watcher.changes().settled
    assert names(watcher.changes().settled) == {"slow.png"}
    assert not watcher.changes().settled
    assert not watcher.is_unsettled


def test_a_moved_file_is_new_and_gone_in_the_same_look(photos: Path, watcher: Watcher) -> None:
    (photos / "cat" / "tom.png").rename(photos / "dog" / "tom.png")
    first = watcher.changes()
    assert (first.settled, first.gone) == ([], set())
    second = watcher.changes()
    assert (names(second.settled), names(second.gone)) == ({"tom.png"}, {"tom.png"})
    assert not watcher.is_unsettled


def test_what_cannot_be_read_for_a_while_is_not_gone(photos: Path, watcher: Watcher) -> None:
    (photos / "dog").rename(photos / "kennel")
    (photos / "dog").symlink_to("dog")  # the folder is there, and nobody can read it
    for _ in range(3):
        assert watcher.changes().gone == set()
