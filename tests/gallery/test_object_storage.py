"""Pictures on S3: everything that is done with them on a disk, on a real server."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.curation import importing, zips
from gallery.models import Image, Query, ZipImport
from gallery.queries import retention
from gallery.storage import files
from tests.gallery.rows import add_image, ask, finished, picture, uploaded
from tests.gallery.test_adding_many import archive, begin, part
from tests.ports import free_port
from tests.s3 import BUCKET, S3Server

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(autouse=True)
def s3(server: S3Server, settings: Settings) -> S3Server:
    """Keep everything on this server from here on."""
    server.empty()
    on_s3(settings, server.environment)
    return server


def on_s3(settings: Settings, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        setattr(settings, name, value)
    settings.SIMSEARCH_S3_PUBLIC_ENDPOINT = environment["SIMSEARCH_S3_ENDPOINT"]
    settings.SIMSEARCH_S3_REGION, settings.SIMSEARCH_S3_LINK_S = "us-east-1", 300
    backend = "gallery.storage.s3.ObjectStorage"
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": backend, "OPTIONS": {"folder": "pictures"}},
        "uploads": {"BACKEND": backend, "OPTIONS": {"folder": "uploads"}},
        "index": {"BACKEND": backend, "OPTIONS": {"folder": "index"}},
    }


def on_disk(settings: Settings) -> list[Path]:
    return [path for root in (settings.MEDIA_ROOT, settings.UPLOADS_ROOT) for path in root.rglob("*") if path.is_file()]


def test_uploads_pictures_and_thumbnails_are_in_the_bucket_and_not_on_the_disk(
    s3: S3Server, settings: Settings
) -> None:
    image, done, waiting = add_image(1), finished(), ask(2)
    expected = {f"pictures/{file.name}" for file in (image.picture_file, image.thumbnail_file, done.picture_file)}
    assert s3.names() == expected | {f"uploads/{waiting.upload_file.name}"}
    assert waiting.upload_file.read_bytes() == picture(2)
    assert on_disk(settings) == []


def test_an_uploaded_gallery_picture_is_decoded_from_the_bucket(
    s3: S3Server, client: Client, settings: Settings
) -> None:
    settings.SIMSEARCH_API_KEYS = ["key"]
    files_sent = {"image": uploaded(picture(3))}
    sent = client.post("/api/images", files_sent, headers={"Authorization": "Bearer key"})
    assert sent.status_code in {201, 202}, sent.content
    assert importing.decode_pending(10) == 1
    image = Image.objects.get()
    assert s3.names() == {f"pictures/{file.name}" for file in (image.picture_file, image.thumbnail_file)}


def test_all_threads_and_folders_share_a_client() -> None:
    """Each takes 0.2 s and some MB, and a web process has eight threads that meet two folders."""
    with ThreadPoolExecutor(4) as threads:
        clients = list(threads.map(lambda _: (files.keeper()._client, files.keeper("uploads")._client), range(8)))  # type: ignore[attr-defined]
    assert len({id(client) for pair in clients for client in pair}) == 1


def test_an_archive_that_a_curator_sends_in_parts_is_imported_from_the_bucket(
    s3: S3Server, curator: Client, settings: Settings, tmp_path: Path
) -> None:
    data = archive(cat__Tom=picture(1), dog__Rex=picture(2))
    address = begin(curator, data)["url"]
    for host, offset in enumerate(range(0, len(data), 2000)):  # each part comes to another web host
        settings.UPLOADS_ROOT = tmp_path / f"web-{host}"
        assert part(curator, address, offset, data[offset : offset + 2000]).status_code == 200
    settings.UPLOADS_ROOT = tmp_path / "gallery"
    assert zips.step()
    row = ZipImport.objects.get()
    assert (row.added, row.error) == (2, "")
    assert not any(name.startswith("uploads/") for name in s3.names())


def test_an_archive_waits_while_the_bucket_is_away(server: S3Server, curator: Client, settings: Settings) -> None:
    data = archive(Tom=picture(1))
    address = begin(curator, data)["url"]
    part(curator, address, 0, data)
    with S3Server() as other:
        on_s3(settings, other.environment)
    with pytest.raises(files.StorageAway):
        zips.step()
    assert part(curator, begin(curator, data + b"more")["url"], 0, data).status_code == 503
    on_s3(settings, server.environment)
    assert zips.step()
    assert [(row.added, row.error) for row in ZipImport.objects.filter(finished_at__isnull=False)] == [(1, "")]


@pytest.mark.parametrize("command", [["import_images", "photos"], ["prune", "--dry-run"], ["export", "made"]])
@pytest.mark.parametrize("is_away", [True, False], ids=["away", "no such bucket"])
def test_a_command_says_that_the_bucket_cannot_be_used(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], is_away: bool
) -> None:
    """It is no full disk, and no fault of the folder that is written."""
    monkeypatch.chdir(tmp_path)
    add_image(1)
    Path("photos").mkdir()
    Path("photos", "new.png").write_bytes(picture(2))
    if is_away:
        settings.SIMSEARCH_S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
    else:
        settings.SIMSEARCH_S3_BUCKET = "another"
    settings.STORAGES = {**settings.STORAGES}  # made anew
    with pytest.raises((CommandError, files.StorageAway)) as caught:
        call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
    assert ("SIMSEARCH_S3_ENDPOINT" if is_away else "SIMSEARCH_S3_BUCKET") in str(caught.value)
    assert Image.objects.count() == 1


def test_prune_finds_the_parts_of_an_archive_without_a_row(
    s3: S3Server, curator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive(Tom=picture(1))
    part(curator, begin(curator, data)["url"], 0, data[:100])
    monkeypatch.setattr("gallery.operations.pruning.SETTLED_S", -60)
    call_command("prune", "--apply", stdout=io.StringIO())
    assert len(s3.names()) == 1
    ZipImport.objects.all().delete()  # its transaction, that of the test, does not end
    call_command("prune", "--apply", stdout=io.StringIO())
    assert s3.names() == set()


def test_a_picture_is_shown_by_a_signed_link_that_ends(s3: S3Server, client: Client) -> None:
    image = add_image()
    for address, file in ((image.picture_url, image.picture_file), (image.thumbnail_url, image.thumbnail_file)):
        answer = client.get(address)
        assert answer.status_code == 302
        assert "max-age=150" in answer["Cache-Control"]  # half as long as the link works
        assert "X-Amz-Expires=300" in answer["Location"]
        assert httpx.get(answer["Location"]).content == file.read_bytes()


def test_no_link_is_made_of_a_hidden_picture(client: Client) -> None:
    image = add_image(is_hidden=True)
    assert client.get(image.picture_url).status_code == 404


def test_what_is_deleted_leaves_the_bucket(
    s3: S3Server, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    image, query = add_image(), ask()
    with django_capture_on_commit_callbacks(execute=True):
        image.delete()
        query.delete()
    assert s3.names() == set()


def test_prune_finds_lost_rows_and_leaves_young_objects(s3: S3Server) -> None:
    kept, lost = add_image(1), add_image(2)
    files.remove(lost.picture_file)
    s3.client.put_object(Bucket=BUCKET, Key="pictures/gallery/ab/00000000-0000-4000-8000-000000000000.jpg", Body=b"a")
    out = io.StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert "     0 files without a row" in out.getvalue()  # it may be on its way
    assert "     1 gallery pictures without their file" in out.getvalue()
    call_command("prune", "--apply", stdout=out)
    assert list(Image.objects.all()) == [kept]


def test_prune_removes_old_objects_without_a_row(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    add_image()
    kept = s3.names()
    s3.client.put_object(Bucket=BUCKET, Key="pictures/gallery/ab/00000000-0000-4000-8000-000000000000.jpg", Body=b"a")
    s3.client.put_object(Bucket=BUCKET, Key="pictures/gallery/ab/notes.txt", Body=b"not ours")
    monkeypatch.setattr("gallery.operations.pruning.SETTLED_S", -60)  # the server sets the time of an object
    call_command("prune", "--apply", stdout=io.StringIO())
    assert s3.names() == kept | {"pictures/gallery/ab/notes.txt"}


def test_the_quota_of_queries_counts_objects(
    settings: Settings, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    oldest = finished(query=ask(1))
    newest = finished(query=ask(2))
    settings.SIMSEARCH_QUERY_SPACE = retention.used() - 1
    with django_capture_on_commit_callbacks(execute=True):
        assert retention.enforce_quota() == 1
    assert not oldest.picture_file.exists()
    assert newest.picture_file.exists()


def test_a_storage_that_is_away_is_told_as_busy_and_no_query_is_kept(
    server: S3Server, client: Client, settings: Settings
) -> None:
    with S3Server() as other:
        on_s3(settings, other.environment)
    answer = client.post("/api/queries", {"image": uploaded(picture())})  # it ended with the block
    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert not Query.objects.exists()


def test_a_bucket_that_is_missing_is_told_as_busy(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_S3_BUCKET = "another"
    settings.STORAGES = dict(settings.STORAGES)  # made anew
    assert client.post("/api/queries", {"image": uploaded(picture())}).status_code == 503


@pytest.mark.django_db(transaction=True)
def test_a_backup_holds_the_pictures_of_the_bucket(s3: S3Server, tmp_path: Path) -> None:
    add_image()
    out = io.StringIO()
    call_command("backup", str(tmp_path / "backup.tar"), stdout=out)
    assert f"the bucket {BUCKET}" in out.getvalue()
    assert picture_count(tmp_path / "backup.tar") == 2


def picture_count(backup: Path) -> int:
    return backup.read_bytes().count(b"pictures/")
