"""manage.py import_images DIR."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.curation import pictures
from gallery.models import Image
from gallery.operations import workers
from tests.engine.pictures import encoded
from tests.gallery.rows import add_image, files_kept, picture

pytestmark = pytest.mark.django_db


def put(folder: Path, **pictures: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (folder / f"{name}.png").write_bytes(data)


def run(folder: Path) -> tuple[str, str]:
    """What the command says: its result, and its complaints."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_images", str(folder), stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures: a cat, two dogs, and one without a label."""
    put(tmp_path / "photos", loose=picture(1))
    put(tmp_path / "photos" / "cat", tom=picture(2))
    put(tmp_path / "photos" / "dog", rex=picture(3), fido=picture(4))
    return tmp_path / "photos"


def test_sub_folders_are_labels_and_names_are_titles(photos: Path) -> None:
    told, complaints = run(photos)
    assert set(Image.objects.values_list("title", "label")) == {
        ("loose", ""),
        ("tom", "cat"),
        ("rex", "dog"),
        ("fido", "dog"),
    }
    assert told == "4 pictures imported, 0 were there already, 0 refused."
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


def test_bad_files_are_told_and_stop_nothing(photos: Path) -> None:
    (photos / "cat" / "notes.txt").write_text("not a picture")
    put(photos / "dog", broken=picture(5)[:500], nothing=b"")
    told, complaints = run(photos)
    assert told == "4 pictures imported, 0 were there already, 3 refused."
    lines = complaints.strip().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["cat/notes.txt", "dog/broken.png", "dog/nothing.png"]
    assert all(line.endswith(".") for line in lines)


def test_incomplete_pictures_come_in_and_are_counted(photos: Path) -> None:
    put(photos / "dog", cut=picture(5)[:-200])
    told, complaints = run(photos)
    assert told == "5 pictures imported (1 of them incomplete), 0 were there already, 0 refused."
    assert complaints == ""


def test_the_limit_of_bytes_is_for_visitors(photos: Path, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 100
    assert run(photos)[0] == "4 pictures imported, 0 were there already, 0 refused."


def test_what_is_larger_than_an_import_takes_names_the_setting(
    photos: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 100
    monkeypatch.setattr(pictures, "OWN_BYTES", len(picture(1)) + 1000)
    (photos / "large.png").write_bytes(picture(6) + bytes(5000))
    told, complaints = run(photos)
    assert told == "4 pictures imported, 0 were there already, 1 refused."
    assert complaints.strip().endswith("The setting is SIMSEARCH_MAX_UPLOAD_BYTES.")


def test_too_many_pixels_name_the_setting(photos: Path, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_PIXELS = 10
    with pytest.raises(CommandError, match="no readable picture"):
        run(photos)
    settings.SIMSEARCH_MAX_PIXELS = 50_000_000
    put(photos, wide=encoded(Pillow.new("L", (7100, 7100)), "PNG"))
    _, complaints = run(photos)
    assert complaints.strip().endswith("The setting is SIMSEARCH_MAX_PIXELS.")


def test_files_that_cannot_be_opened_are_told(photos: Path) -> None:
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


def test_a_full_disk_is_one_clear_line(photos: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"")
    settings.MEDIA_ROOT = tmp_path / "full" / "pictures"
    with pytest.raises(CommandError, match="disk is full"):
        run(photos)
    assert not Image.objects.exists()


def test_the_workers_are_told_once(
    photos: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run(photos)
    with workers.connect() as redis:
        assert (redis.llen("gallery"), redis.llen("search")) == (1, 0)
