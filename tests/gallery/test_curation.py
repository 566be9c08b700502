"""The gallery: what comes in, what stays, what goes."""

import hashlib
from pathlib import Path

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from engine.errors import BadImage
from gallery.curation import bulk, library, pictures
from gallery.models import Embedding, Image
from gallery.results import matches
from gallery.storage import disk
from tests.gallery.rows import add_file, add_image, files_kept, finished, now, picture

pytestmark = pytest.mark.django_db


def test_a_picture_comes_in_with_its_files() -> None:
    image = add_image(label="cat", title="Tom")
    row = Image.objects.get()
    assert (row, row.label, row.title, row.is_hidden) == (image, "cat", "Tom", False)
    assert (row.width_px, row.height_px) == (48, 32)
    assert files_kept() == sorted([row.picture_file.path, row.thumbnail_file.path])


def test_others_may_read_the_files() -> None:  # a web server that runs as somebody else
    add_image()
    assert {path.stat().st_mode & 0o777 for path in files_kept()} == {0o640}


def test_the_same_file_comes_in_once() -> None:
    image = add_image()
    before = files_kept()
    with pytest.raises(library.AlreadyThere) as refusal:
        add_image()
    assert refusal.value.image == image
    assert Image.objects.count() == 1
    assert files_kept() == before


def test_a_hidden_picture_is_still_there() -> None:
    add_image(is_hidden=True)
    with pytest.raises(library.AlreadyThere):
        add_image()


def test_of_two_who_bring_the_same_file_at_once_one_is_reported() -> None:
    data = picture()
    content_hash, encoded = hashlib.sha256(data).hexdigest(), pictures.reencode(data)
    library.keep(Image(title="quicker"), content_hash, encoded, data)
    before = files_kept()
    with pytest.raises(library.AlreadyThere):
        library.keep(Image(title="slower"), content_hash, encoded, data)
    assert [image.title for image in Image.objects.all()] == ["quicker"]
    assert files_kept() == before


def test_a_bad_picture_does_not_come_in() -> None:
    with pytest.raises(BadImage) as refusal:
        add_file(b"no picture")
    assert refusal.value.code == "unsupported_format"
    assert not Image.objects.exists()
    assert files_kept() == []


def test_a_folder_that_cannot_be_made_leaves_nothing_half_done(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings.MEDIA_ROOT = tmp_path / "file" / "pictures"
    with pytest.raises(NotADirectoryError):
        add_image()
    assert not Image.objects.exists()


def test_long_names_are_cut_to_what_a_row_holds() -> None:
    image = add_image(label="l" * 300, title="t" * 300)
    assert (len(image.label), len(image.title)) == (100, 200)


@pytest.mark.parametrize("how", ["one", "many"])
def test_a_deleted_picture_takes_its_files_along(
    how: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    gone, kept = add_image(1), add_image(2)
    query, path = finished(gone, kept), gone.picture_file.path
    with django_capture_on_commit_callbacks(execute=True):
        if how == "one":
            gone.delete()
        else:
            Image.objects.filter(pk=gone.pk).delete()
        assert path.exists()  # until the deletion is certain
    assert files_kept() == sorted([kept.picture_file.path, kept.thumbnail_file.path, query.picture_file.path])
    assert [match.image.id for match in matches.shown(now(query))] == [kept.pk]


@pytest.mark.parametrize("how", ["one", "many"])
def test_a_deleted_picture_takes_its_embeddings_along(how: str) -> None:
    gone, kept = add_image(1), add_image(2)
    for image in (gone, kept):
        for model_id in ("efficientnet_lite0", "alexnet"):
            Embedding.objects.create(image=image, model_id=model_id, vector=b"")
    if how == "one":
        gone.delete()
    else:
        bulk.change("delete", Image.objects.filter(pk=gone.pk), "curator")
    assert {embedding.image for embedding in Embedding.objects.all()} == {kept}


def test_a_deleted_picture_may_come_back(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        add_image().delete()
    again = add_image()
    assert files_kept() == sorted([again.picture_file.path, again.thumbnail_file.path])


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(OSError, match="taken"):  # the very last step of writing fails
        disk.write_whole(taken, b"data")
    assert list(tmp_path.iterdir()) == [taken]
