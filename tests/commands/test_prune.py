"""manage.py prune."""

import io
import os
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from gallery.curation import library
from gallery.models import Embedding, Image, Query, QueryPart
from gallery.operations import pruning
from gallery.queries import accept
from gallery.queries.accept import Parameters, Pictures
from gallery.storage import disk, files
from gallery.timings import Stopwatch
from tests.gallery.rows import add_image, ago, ask, files_kept, in_state, picture, set_row, uploaded

pytestmark = pytest.mark.django_db(transaction=True)

HOURS_AGO = 3 * 3600


def prune(option: str) -> str:
    out = io.StringIO()
    call_command("prune", option, stdout=out)
    return out.getvalue()


def old(path: Path, data: bytes = b"\xff\xd8") -> Path:
    """Return a file that was written some hours ago."""
    disk.write_whole(path, data)
    return make_old(path)


def make_old(path: Path) -> Path:
    then = path.stat().st_mtime - HOURS_AGO
    os.utime(path, (then, then))
    return path


def stray(folder: str, name: str = "") -> Path:
    return settings.MEDIA_ROOT / folder / "ab" / (name or f"{uuid.uuid4()}.jpg")


def test_what_has_an_owner_stays() -> None:
    add_image()
    query, _ = in_state("done")
    kept = files_kept()
    for path in kept:
        make_old(path)
    assert "     0 files" in prune("--apply")
    assert files_kept() == kept
    assert (Image.objects.count(), list(Query.objects.all())) == (1, [query])


@pytest.mark.parametrize("folder", ["gallery", "previews", "thumbnails", "queries", "parts"])
def test_a_file_without_a_row_is_removed(folder: str) -> None:
    path = old(stray(folder))
    assert "     1 files without a row" in prune("--dry-run")
    assert path.exists()
    prune("--apply")
    assert not path.exists()


@pytest.mark.parametrize("folder", ["gallery", "queries", "parts"])
def test_uploaded_bytes_without_a_row_are_removed(folder: str) -> None:
    path = old(settings.UPLOADS_ROOT / folder / "ab" / str(uuid.uuid4()))
    half_way = old(settings.UPLOADS_ROOT / "tmpabc.upload.jpg")
    assert "     2 files without a row" in prune("--dry-run")
    prune("--apply")
    assert not path.exists()
    assert not half_way.exists()


def test_a_pending_gallery_picture_stays() -> None:
    image = Image()
    library.upload(image, uploaded(picture()))
    make_old(image.upload_file.path)
    prune("--apply")
    assert files_kept() == [image.upload_file.path]
    assert list(Image.objects.all()) == [image]


def test_a_result_whose_picture_did_not_fit_on_the_disk_stays() -> None:
    query, _ = in_state("done")
    query.upload_file.path.write_bytes(query.picture_file.path.read_bytes())
    files.remove(query.picture_file)
    prune("--apply")
    assert list(Query.objects.all()) == [query]


def test_what_a_killed_write_left_is_removed_after_an_hour() -> None:
    leftover, fresh = old(stray("queries", ".new-abc")), stray("queries", ".new-def")
    disk.write_whole(fresh, b"")
    prune("--apply")
    assert (leftover.exists(), fresh.exists()) == (False, True)


def test_a_file_whose_row_may_be_on_its_way_stays() -> None:
    path = stray("queries")
    disk.write_whole(path, b"\xff\xd8")
    prune("--apply")
    assert path.exists()


def test_what_is_not_ours_stays() -> None:
    notes = [old(stray("gallery", "notes.txt")), old(stray("elsewhere")), old(settings.MEDIA_ROOT / "README")]
    prune("--apply")
    assert all(path.exists() for path in notes)


def test_a_gallery_picture_without_its_file_is_named_and_removed() -> None:
    kept, lost = add_image(1), add_image(2)
    files.remove(lost.picture_file)
    assert str(lost.pk) in prune("--dry-run")
    assert Image.objects.count() == 2
    prune("--apply")
    assert list(Image.objects.all()) == [kept]
    assert files_kept() == sorted([kept.picture_file.path, kept.thumbnail_file.path])


def test_a_missing_folder_costs_no_gallery() -> None:
    for seed in range(12):
        files.remove(add_image(seed).picture_file)
    with pytest.raises(CommandError, match=r"^12 of 12 gallery pictures have no file in .+ restore a backup\.$"):
        prune("--apply")
    assert Image.objects.count() == 12


def test_a_finished_query_without_its_picture_is_removed_and_a_waiting_one_is_left_to_its_end() -> None:
    done, _ = in_state("done")
    waiting = ask()
    files.remove(done.picture_file, waiting.upload_file)
    assert "     1 queries without their picture" in prune("--dry-run")
    prune("--apply")
    assert list(Query.objects.all()) == [waiting]


def test_expired_queries_are_removed_with_their_pictures() -> None:
    (expired, _), (young, _) = in_state("done"), in_state("failed")
    set_row(expired, created_at=ago(8 * 24 * 3600))
    assert "     1 expired queries" in prune("--dry-run")
    assert Query.objects.count() == 2
    prune("--apply")
    assert list(Query.objects.all()) == [young]
    assert files_kept() == []


def test_an_embedding_without_a_picture_is_removed() -> None:
    """What an older version left, and a worker that embedded a picture while it was deleted."""
    kept = add_image()
    for content_hash in (kept.content_hash, "0" * 64):
        Embedding.objects.create(image_id=content_hash, model_id="efficientnet_lite0", vector=b"")
    assert "     1 embeddings of deleted pictures" in prune("--dry-run")
    assert Embedding.objects.count() == 2
    prune("--apply")
    assert Embedding.objects.get().image == kept


def test_the_parts_of_a_query_that_an_old_version_deleted_are_removed_with_their_files() -> None:
    """It deleted the row of the query alone: the database has no constraint that it would have broken."""
    kept, deleted = (accept.store(several(seed), Parameters(), Stopwatch(ago(0))) for seed in (1, 5))
    with connection.cursor() as cursor:
        id_of = Query._meta.pk.get_db_prep_value(deleted.pk, connection)
        cursor.execute("DELETE FROM gallery_query WHERE id = %s", [id_of])
    for path in files_kept():
        make_old(path)
    assert "     2 pictures of deleted queries" in prune("--dry-run")
    assert QueryPart.objects.count() == 4
    assert "     1 files without a row" in prune("--apply")  # that of its first picture
    assert {part.query_id for part in QueryPart.objects.all()} == {kept.pk}
    assert files_kept() == sorted(row.upload_file.path for row in kept.pictures)
    assert "     0 pictures of deleted queries" in prune("--dry-run")


def several(seed: int) -> Pictures:
    return Pictures(files=[uploaded(picture(seed + more)) for more in range(3)])


def test_saying_it_twice_finds_nothing_more() -> None:
    old(stray("queries"))
    prune("--apply")
    assert pruning.find() == pruning.Orphans([], [], [], 0, 0)


def test_one_has_to_choose() -> None:
    with pytest.raises(CommandError, match=r"--dry-run --apply"):
        call_command("prune")
