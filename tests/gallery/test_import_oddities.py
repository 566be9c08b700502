"""What people's disks have besides pictures: it is left out with a word, and stops nothing."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from gallery.curation.folders.left_out import LeftOut
from gallery.models import Image
from tests import fresh
from tests.engine.pictures import encoded, noise
from tests.gallery.rows import add_image, picture
from tests.oddities import LABEL, OTHER_KINDS, PICTURES, SYSTEM_FOLDERS, heeding_rights, odd_folder
from tests.sites import Site

pytestmark = pytest.mark.django_db


def run(*arguments: str | Path) -> tuple[str, list[str]]:
    """Return the summary, and the lines on what was left out."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_images", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue().strip(), [line.strip() for line in err.getvalue().splitlines()[1:]]


def titles() -> set[tuple[str, str]]:
    return set(Image.objects.values_list("title", "label"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    put(tmp_path / "photos" / "cat" / "tom.png", 1)
    return tmp_path / "photos"


def put(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed))


# --- All at once, on a site of its own: the rights of files count for processes -------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    with odd_folder(tmp_path / "photos") as folder:
        yield folder


def import_heeding_rights(site: Site, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*heeding_rights(), sys.executable, "manage.py", "import_images", *arguments]
    return subprocess.run(
        command, cwd=fresh.ROOT, env=os.environ | site.environment, capture_output=True, text=True, errors="strict"
    )


ROWS = "from gallery.models import Image\nprint(json.dumps(list(Image.objects.values_list('title', 'label'))))"


def test_everything_odd_at_once(tmp_path: Path, odd: Path) -> None:
    site = Site(tmp_path / "data")
    done = import_heeding_rights(site, str(odd))
    assert done.returncode == 0, done.stderr
    found = {(title, label) for title, label in site.run(ROWS)}
    assert {(title, label.casefold()) for title, label in found} == {(t, label.casefold()) for t, label in PICTURES}
    assert len({label for _, label in found}) == len({label for _, label in PICTURES})
    assert done.stdout.startswith(f"{len(PICTURES)} pictures imported, 0 were there already, ")
    lines = (done.stderr + done.stdout).splitlines()
    assert len([line for line in lines if not line.startswith("Importing: ")]) <= 9  # a slow machine reports progress
    assert all(len(line) < 240 for line in lines)
    message = "\n".join(lines)
    for word in ("2 MOV", "1 AAE", "1 XMP", "1 JSON", "1 INI", "--follow-links", "Permission denied", "holiday"):
        assert word in message
    for word in ("damaged or incomplete", "Empty", "thumbnails", "lead nowhere", "not UTF-8"):
        assert word in message
    again = import_heeding_rights(site, str(odd))
    assert again.stdout.startswith(f"0 pictures imported, {len(PICTURES)} were there already, ")


def test_each_is_named_on_demand(tmp_path: Path, odd: Path) -> None:
    done = import_heeding_rights(Site(tmp_path / "data"), str(odd), "-v2")
    assert done.returncode == 0, done.stderr
    names = {line.partition(":")[0].strip() for line in done.stderr.splitlines()}
    closed = {"closed", "not to be entered", "not to be listed", "no rights.png"}
    assert names >= closed | {f"cat/{name}" for name in [*SYSTEM_FOLDERS, *OTHER_KINDS, "loop", "up", "gone.png"]}
    assert {"pipe.png", "holiday", "damaged/half.png"} <= names


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o311])
def test_a_closed_folder_alone_is_one_clear_line(tmp_path: Path, photos: Path, mode: int) -> None:
    photos.chmod(mode)
    done = import_heeding_rights(Site(tmp_path / "data"), str(photos))
    photos.chmod(0o755)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Permission denied" in done.stderr
    assert f"The folder {photos} holds no readable picture." in done.stderr


def test_a_place_in_a_closed_folder_is_one_clear_line(tmp_path: Path, photos: Path) -> None:
    photos.chmod(0o000)
    done = import_heeding_rights(Site(tmp_path / "data"), str(photos / "cat"))
    photos.chmod(0o755)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "There is no folder or file" in done.stderr


# --- Each alone -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"caf\xe9", "café"), (b"\x93Z\xfcrich\x94", "“Zürich”"), (b"\x81\xff", "\ufffdÿ"), (b"a\xcc\x80", "à")],
)
def test_a_name_of_any_bytes_is_text(photos: Path, name: bytes, text: str) -> None:
    put(photos / os.fsdecode(name) / os.fsdecode(name + b".png"), 2)
    put(photos / "zebra" / "last.png", 3)
    output, _ = run(photos)
    assert titles() == {("tom", "cat"), (text, text), ("last", "zebra")}
    assert ("not UTF-8" in output) == (not name.startswith(b"a"))


def test_the_folder_may_have_such_a_name_itself(tmp_path: Path) -> None:
    put(tmp_path / os.fsdecode(b"\xe9t\xe9") / "tom.png", 1)
    (tmp_path / os.fsdecode(b"\xe9t\xe9") / "half.png").write_bytes(picture(2)[:200])
    run(tmp_path / os.fsdecode(b"\xe9t\xe9"))
    run(tmp_path)
    assert titles() == {("tom", "")}


@pytest.mark.parametrize("name", SYSTEM_FOLDERS + [name.swapcase() for name in SYSTEM_FOLDERS])
def test_folders_of_systems_are_left_out(photos: Path, name: str) -> None:
    put(photos / "cat" / name / "deeper" / "small.png", 2)
    put(photos / name / "small.png", 3)
    _, left_out = run(photos)
    assert titles() == {("tom", "cat")}
    (line,) = left_out
    assert name in line


@pytest.mark.parametrize("name", ["eaDir", "recycle", "lost", "thumbnails", "found"])
def test_folders_with_names_like_theirs_are_peoples(photos: Path, name: str) -> None:
    put(photos / name / "rex.png", 2)
    assert run(photos)[1] == []
    assert ("rex", name) in titles()


def test_a_folder_that_is_requested_by_name_comes_in(tmp_path: Path) -> None:
    put(tmp_path / "#recycle" / "tom.png", 1)
    run(tmp_path / "#recycle")
    assert titles() == {("tom", "")}


def test_other_kinds_are_one_line(photos: Path) -> None:
    for number in range(50):
        for name, data in OTHER_KINDS.items():
            (photos / "cat" / f"{number}{name}").write_bytes(data)
    output, (line,) = run(photos)
    assert output == "1 pictures imported, 0 were there already, 0 refused."
    assert line.startswith("Files of other kinds: 350 (100 MOV, ")


@pytest.mark.parametrize("name", ["a.\x1b[31m", "notes. And a whole sentence after it", "a.\udce9", "a.", "a"])
def test_what_is_no_suffix_is_none(photos: Path, name: str) -> None:
    (photos / name).write_bytes(b"no picture")
    assert run(photos)[1] == ["Files of other kinds: 1 (1 without a suffix)"]


def test_a_link_that_is_named_is_read_wherever_it_leads(photos: Path) -> None:
    (photos / "all").symlink_to(photos)
    _, left_out = run(photos / "all")
    assert titles() == {("tom", "cat")}
    assert left_out == ["Linked folders (import_images --follow-links imports them): 1 (all)"]


def test_content_counts_and_not_the_name(photos: Path) -> None:
    (photos / "cat" / "picture.mov").write_bytes(encoded(noise(), "JPEG"))
    (photos / "cat" / "film.jpg").write_bytes(OTHER_KINDS["IMG_1.MOV"])
    output, (line,) = run(photos)
    assert output == "2 pictures imported, 0 were there already, 1 refused."
    assert "film.jpg" in line


@pytest.mark.parametrize("follow", [False, True])
def test_linked_folders_are_followed_if_requested(tmp_path: Path, photos: Path, follow: bool) -> None:
    put(tmp_path / "elsewhere" / "rex.png", 2)
    put(tmp_path / "elsewhere" / "wolf" / "grey.png", 3)
    (photos / "dog").symlink_to(tmp_path / "elsewhere")
    _, left_out = run(photos, *["--follow-links"] * follow)
    dogs = {("rex", "dog"), ("grey", "wolf")} if follow else set()
    assert titles() == {("tom", "cat")} | dogs
    assert left_out == [] if follow else ["Linked folders (import_images --follow-links imports them): 1 (dog)"]


@pytest.mark.parametrize("target", ["photos", ".", "photos/cat", "other"])
def test_loops_are_noticed(tmp_path: Path, photos: Path, target: str) -> None:
    put(tmp_path / "other" / "rex.png", 2)
    (tmp_path / "other" / "back").symlink_to(photos)
    (photos / "a link").symlink_to(tmp_path / target)
    output, left_out = run(photos, "--follow-links")
    expected = {("tom", "cat")} | ({("rex", "a link")} if target == "other" else set())
    assert titles() == expected
    assert output.startswith(f"{len(expected)} pictures imported, 0 were there already")
    (line,) = left_out
    assert line.startswith("Links to a folder that is read anyway: 1 (")


def test_the_gallery_is_not_imported_into_itself(photos: Path, settings: Settings) -> None:
    settings.MEDIA_ROOT = photos / "media"
    add_image(7, label="kept")
    output, (line,) = run(photos)
    assert output == "1 pictures imported, 0 were there already, 0 refused."
    assert line == "simsearch's own pictures: 1 (media)"


def test_a_folder_of_hidden_files_is_said_to_hold_no_picture(tmp_path: Path) -> None:
    put(tmp_path / "photos" / ".hidden.png", 1)
    with pytest.raises(CommandError, match="holds no readable picture"):
        run(tmp_path / "photos")


def test_more_reasons_than_lines_share_one() -> None:
    left_out = LeftOut()
    for number in range(12):
        for file in range(20 - number):
            left_out.add(f"Reason {number}", Path(f"/photos/{number}/{'long name ' * 10}{file}.png"))
    lines = left_out.lines(Path("/photos"))
    assert len(lines) == 7
    assert all(len(line) < 240 for line in lines)
    assert lines[-1] == "For other reasons: 69 (" + "; ".join(f"reason {number}" for number in range(6, 12)) + ")"


def test_control_characters_of_names_reach_no_terminal(photos: Path) -> None:
    (photos / "a\x1b[31m\nb\u202egpj.jpg").write_bytes(b"no picture")
    _, (line,) = run(photos)
    assert line.endswith("(a\ufffd[31m\ufffdb\ufffdgpj.jpg)")


def test_labels_of_folders_that_look_the_same_are_one(photos: Path) -> None:
    for number, name in enumerate(["Grüne Äpfel", "Gru\u0308ne A\u0308pfel", "GRÜNE  ÄPFEL ", "\tgrüne\näpfel"]):
        put(photos / name / f"{number}.png", 10 + number)
    run(photos)
    labels = {label for _, label in titles()} - {"cat"}
    assert len(labels) == 1
    assert labels.pop().casefold() == LABEL.casefold()
