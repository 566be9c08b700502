"""The folder of SIMSEARCH_WATCH: a program of supervisor imports its pictures as they come."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.demo import jpeg
from tests.stack import Stack

pytestmark = pytest.mark.drill  # starts a system of its own
PATIENCE_S = 90


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Provide a system that starts while its folder is not there."""
    folder = str(tmp_path / "camera")
    with Stack(tmp_path, SIMSEARCH_WATCH=folder, SIMSEARCH_WATCH_MIRROR="on") as running:
        yield running


def wait(stack: Stack, is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.5)


def best(stack: Stack, picture: bytes) -> str:
    """Return the title of the picture that a search finds first."""
    answer = stack.answer(stack.ask(picture).json()["id"])
    return str(answer["matches"][0]["image"]["title"])


def test_a_new_file_of_the_folder_is_found_by_a_search_and_a_removed_one_is_not(stack: Stack, tmp_path: Path) -> None:
    wait(stack, lambda: f"Watch   {tmp_path / 'camera'}" in (tmp_path / "run.log").read_text())
    arriving = tmp_path / "arriving" / "harbour"
    arriving.mkdir(parents=True)
    new, other = (jpeg(kind, 77) for kind in ("clock", "tree"))
    (arriving / "brand new.jpg").write_bytes(new)
    (arriving / "another.jpg").write_bytes(other)
    arriving.parent.rename(tmp_path / "camera")  # as a disk is mounted
    wait(stack, lambda: best(stack, new) == "brand new")
    (tmp_path / "camera" / "harbour" / "brand new.jpg").unlink()
    wait(stack, lambda: best(stack, new) != "brand new")
    assert best(stack, other) == "another"
    assert stack.rows("SELECT label FROM gallery_image WHERE is_hidden AND title = %s", "brand new") == [("harbour",)]
