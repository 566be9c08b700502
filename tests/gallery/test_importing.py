"""manage.py import_images DIR."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.curation import importing
from gallery.models import Image
from gallery.operations import workers
from tests.engine.pictures import encoded, noise
from tests.gallery.rows import add_image, files_kept, picture

pytestmark = pytest.mark.django_db


def put(folder: Path, **pictures: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (folder / f"{name}.png").write_bytes(data)


def run(*places: Path, **options: Any) -> tuple[str, str]:
    """Return what the command says: its result, and its complaints."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_images", *map(str, places), stdout=out, stderr=err, **options)
    return out.getvalue().strip(), err.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures: a cat, two dogs, and one without a label."""
    put(tmp_path / "photos", loose=picture(1))
    put(tmp_path / "photos" / "cat", tom=picture(2))
    put(tmp_path / "photos" / "dog", rex=picture(3), fido=picture(4))
    return tmp_path / "photos"


def test_sub_folders_are_labels_and_names_are_titles(photos: Path) -> None:
    output, complaints = run(photos)
    assert set(Image.objects.values_list("title", "label")) == {
        ("loose", ""),
        ("tom", "cat"),
        ("rex", "dog"),
        ("fido", "dog"),
    }
    assert output == "4 pictures imported, 0 were there already, 0 refused."
    assert complaints == ""
    assert len(files_kept()) == 8


def test_a_second_run_adds_nothing(photos: Path) -> None:
    run(photos)
    before = files_kept()
    assert run(photos)[0] == "0 pictures imported, 4 were there already, 0 refused."
    assert files_kept() == before


def test_only_what_is_new_comes_in(photos: Path) -> None:
    add_image(2, title="Tom, from the admin")
    assert run(photos)[0] == "3 pictures imported, 1 were there already, 0 refused."
    assert not Image.objects.filter(title="tom").exists()


def test_the_same_picture_twice_comes_in_once(photos: Path) -> None:
    put(photos / "copies", copy=picture(3))
    assert run(photos)[0] == "4 pictures imported, 1 were there already, 0 refused."


def test_bad_files_are_reported_and_stop_nothing(photos: Path) -> None:
    (photos / "cat" / "notes.txt").write_text("not a picture")
    put(photos / "dog", broken=picture(5)[:500], nothing=b"")
    output, complaints = run(photos, verbosity=2)
    assert output == "4 pictures imported, 0 were there already, 2 refused."
    assert complaints.splitlines()[1:] == [
        "  cat/notes.txt: files of other kinds",
        "  dog/broken.png: only 9% of the picture is in the file",
        "  dog/nothing.png: empty, or of no picture format that is read here",
    ]


def test_incomplete_pictures_come_in_and_are_counted(photos: Path) -> None:
    put(photos / "dog", cut=picture(5)[:-200])
    output, complaints = run(photos)
    assert output == "5 pictures imported (1 of them incomplete), 0 were there already, 0 refused."
    assert complaints == ""


def test_files_that_cannot_be_opened_are_reported(photos: Path) -> None:
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    assert run(photos)[0].startswith("4 pictures imported")


def test_hidden_files_are_left_alone(photos: Path) -> None:
    put(photos / ".thumbnails", small=picture(6))
    put(photos, **{".hidden": picture(7)})
    assert run(photos)[0] == "4 pictures imported, 0 were there already, 0 refused."


def test_more_than_one_window_of_files_comes_in(tmp_path: Path) -> None:
    put(tmp_path / "many", **{f"{seed}": picture(seed) for seed in range(70)})
    assert run(tmp_path / "many")[0].startswith("70 pictures imported")


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"There is no folder .*nowhere"):
        run(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [{}, {"broken": b"no picture"}], ids=["empty", "no picture"])
def test_a_folder_without_a_readable_picture_is_an_error(tmp_path: Path, content: dict[str, bytes]) -> None:
    put(tmp_path / "photos", **content)
    with pytest.raises(CommandError, match=r"The folder .*photos holds no .*\."):
        run(tmp_path / "photos")
    assert not Image.objects.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(photos: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"")
    settings.MEDIA_ROOT = tmp_path / "full" / "pictures"
    with pytest.raises(CommandError, match="full/pictures: Not a directory"):
        run(photos)
    assert not Image.objects.exists()


def test_the_workers_are_woken_once(
    photos: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run(photos)
    with workers.connect() as redis:
        assert (redis.llen("gallery"), redis.llen("search")) == (1, 0)


# --- Places, moved files, sizes -----------------------------------------------------------------------------


def titles() -> set[tuple[str, str]]:
    return set(Image.objects.values_list("title", "label"))


def test_one_file_comes_in_under_the_name_of_its_folder(photos: Path) -> None:
    assert run(photos / "dog" / "rex.png")[0] == "1 pictures imported, 0 were there already, 0 refused."
    assert titles() == {("rex", "dog")}


def test_several_folders_and_files_come_in_and_none_twice(photos: Path) -> None:
    places = [photos / "cat", photos, photos / "dog" / "rex.png", photos / "cat"]
    put(places[0] / "kitten", kitty=picture(5))
    assert run(*places)[0] == "5 pictures imported, 0 were there already, 0 refused."
    assert titles() == {("tom", ""), ("kitty", "kitten"), ("loose", ""), ("rex", "dog"), ("fido", "dog")}


def test_each_place_that_is_not_there_is_named_before_anything_comes_in(photos: Path) -> None:
    with pytest.raises(CommandError, match=r"There is no folder or file .*nowhere"):
        run(photos, photos / "nowhere")
    assert not Image.objects.exists()


@pytest.mark.parametrize("relabel", [True, False])
def test_moved_files_take_their_new_label_if_requested(photos: Path, relabel: bool) -> None:
    run(photos)
    for name, folder in [("dog/rex", "wolf"), ("loose", "cat"), ("cat/tom", "")]:
        (photos / folder).mkdir(exist_ok=True)
        (photos / f"{name}.png").rename(photos / folder / f"{Path(name).name}-moved.png")
    output, complaints = run(photos, relabel=relabel)
    assert output.startswith("0 pictures imported, 4 were there already, 0 refused.")
    assert ("2 moved: they took" in output) if relabel else ("2 pictures were moved" in complaints)
    wolf, loose = ("wolf", "cat") if relabel else ("dog", "")
    assert titles() == {("rex", wolf), ("loose", loose), ("tom", "cat"), ("fido", "dog")}
    if relabel:
        assert run(photos)[0] == "0 pictures imported, 4 were there already, 0 refused."


def test_copies_in_several_folders_are_not_moved(photos: Path) -> None:
    put(photos / "wolf", copy=picture(3))
    put(photos / "Dog", copy=picture(4))  # the same label
    run(photos)
    before = titles()
    for _ in range(2):
        output, complaints = run(photos, relabel=True)
        assert "moved" not in output + complaints
        assert titles() == before


def test_a_label_that_a_curator_gave_stays(photos: Path) -> None:
    run(photos)
    Image.objects.filter(title="rex").update(label="my dog")
    run(photos)
    assert ("rex", "my dog") in titles()


def test_files_above_the_limit_of_visitors_come_in(photos: Path, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 100
    assert run(photos)[0] == "4 pictures imported, 0 were there already, 0 refused."


@pytest.mark.parametrize(
    ("setting", "value"), [("SIMSEARCH_MAX_IMPORT_BYTES", 2**20), ("SIMSEARCH_MAX_PIXELS", 400 * 400)]
)
def test_a_refusal_for_size_names_the_setting(photos: Path, settings: Settings, setting: str, value: int) -> None:
    (photos / "large.png").write_bytes(encoded(noise(700, 500), "PNG"))
    setattr(settings, setting, value)
    output, complaints = run(photos)
    assert output == "4 pictures imported, 0 were there already, 1 refused."
    assert setting in complaints
    assert "large.png" in complaints
    assert_for_an_operator(complaints)


def test_files_too_large_for_several_at_once_come_in(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGE_BYTES", 1000)
    assert run(photos)[0] == "4 pictures imported, 0 were there already, 0 refused."


def assert_for_an_operator(text: str) -> None:
    """Nothing in it is written for somebody who uploads."""
    assert not re.search(r"send|upload|choose|save it", text, re.IGNORECASE)


def test_reasons_are_for_files_on_a_disk(photos: Path) -> None:
    tiff = encoded(noise(), "TIFF")
    put(photos, half=picture(5)[:500], nothing=b"", page=b"<html>", odd=tiff[: len(tiff) // 2])
    for name, data in {"half.jpg": encoded(noise(), "JPEG")[:300], "half.heic": encoded(noise(), "HEIF")[:400]}.items():
        (photos / name).write_bytes(data)
    output, complaints = run(photos)
    assert output == "4 pictures imported, 0 were there already, 6 refused."
    assert_for_an_operator(complaints)
    assert {line.split(": ")[0].strip() for line in complaints.splitlines()[1:]} == {
        "Only 9% of the picture is in the file",
        "The picture is damaged or incomplete",
        "Empty, or of no picture format that is read here",
    }


@pytest.mark.parametrize(
    ("label_from", "labels"),
    [("parent", {"", "cat", "old"}), ("path", {"", "cat", "cat/very/old"}), ("none", {""})],
)
def test_labels_come_from_where_they_are_wanted(photos: Path, label_from: str, labels: set[str]) -> None:
    put(photos / "cat" / "very" / "old", felix=picture(5))
    (photos / "dog").rename(photos / ".dog")
    run(photos, label_from=label_from)
    assert {label for _, label in titles()} == labels


def test_a_dry_run_changes_nothing(photos: Path) -> None:
    put(photos / "copies", copy=picture(3))
    put(photos / "dog", broken=picture(5)[:500])
    add_image(2, label="dog")
    before, files = titles(), files_kept()
    output, complaints = run(photos, dry_run=True, relabel=True)
    assert output == "3 pictures would be imported, 2 were there already, 1 refused."
    assert "dog/broken.png" in complaints
    assert "1 pictures were moved" in complaints
    assert (titles(), files_kept()) == (before, files)


@pytest.mark.parametrize("options", [{"mirror": True}, {"watch": True, "dry_run": True}])
def test_options_that_do_not_go_together_are_refused(photos: Path, options: dict[str, bool]) -> None:
    with pytest.raises(CommandError, match="--watch"):
        run(photos, **options)
    assert not Image.objects.exists()
