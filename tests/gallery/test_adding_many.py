"""Many pictures from a curator's browser: each file a request, archives in parts and imported by a worker."""

import io
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.curation import importing, parts, zips
from gallery.models import Image, ZipImport
from tests.api.answers import Response
from tests.gallery.rows import ago, files_kept, picture

pytestmark = pytest.mark.django_db

FILE, ZIP = "admin:gallery_image_add_many_file", "admin:gallery_image_add_many_zip"
STATE = "admin:gallery_image_add_many_state"


def send(client: Client, data: bytes, name: str = "Tom.png", **fields: str) -> Response:
    return client.post(reverse(FILE), {"file": SimpleUploadedFile(name, data)} | fields)


def archive(method: int = zipfile.ZIP_DEFLATED, /, **files: bytes) -> bytes:
    """Return a ZIP with these files; two underscores in a name are a folder's end."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "/") + ".png", content)
    return data.getvalue()


def begin(client: Client, data: bytes, **fields: str) -> dict[str, Any]:
    given = {"name": "holiday.zip", "size": str(len(data))} | fields
    found: dict[str, Any] = client.post(reverse(ZIP), given).json()
    return found


def part(client: Client, address: str, offset: int, data: bytes) -> Response:
    return client.post(f"{address}?offset={offset}", data, content_type="application/octet-stream")


def send_zip(client: Client, data: bytes, **fields: str) -> ZipImport:
    """Send the whole archive, in parts of 1,000 bytes; then a worker takes it."""
    address = begin(client, data, **fields)["url"]
    for offset in range(0, len(data), 1000):
        assert part(client, address, offset, data[offset : offset + 1000]).status_code == 200
    while zips.step():
        pass
    return ZipImport.objects.get()


def counted(row: ZipImport) -> tuple[int, int, int]:
    return row.added, row.known, row.bad


# Files


def test_each_file_has_a_result_of_its_own(curator: Client) -> None:
    answers = [send(curator, picture(1), label=" big  cat "), send(curator, picture(1)), send(curator, b"no picture")]
    assert [answer.status_code for answer in answers] == [201, 200, 415]
    assert [answer.json().get("result") for answer in answers] == ["added", "known", None]
    assert answers[2].json()["error"]["code"] == "unsupported_format"
    image = Image.objects.get()
    assert (image.title, image.label, image.is_pending) == ("Tom", "big cat", True)


def test_a_title_keeps_what_browsers_escape_in_the_name_of_a_file(curator: Client) -> None:
    file = SimpleUploadedFile("the %22old%22 harbour.png", picture(1))
    curator.post(reverse(FILE), {"file": file, "name": 'the "old" harbour.png'})
    assert Image.objects.get().title == 'the "old" harbour'


def test_a_request_without_a_file_and_a_full_disk_are_refused(
    curator: Client, settings: Settings, tmp_path: Any
) -> None:
    assert curator.post(reverse(FILE)).json()["error"]["code"] == "empty"
    (tmp_path / "full").write_bytes(b"")
    settings.UPLOADS_ROOT = tmp_path / "full" / "uploads"
    assert send(curator, picture()).status_code == 507
    assert not Image.objects.exists()


def test_the_page_says_what_waits_and_what_could_not_be_read(curator: Client) -> None:
    send(curator, picture(1))
    send(curator, picture(2)[:60], "Broken.png")
    html = curator.get(reverse(STATE)).content.decode()
    assert "2 pictures are here and wait to be decoded." in html
    assert "hx-get" in html
    importing.decode_pending(10)
    html = curator.get(reverse(STATE)).content.decode()
    assert "Broken</a>: " in html
    assert "hx-get" not in html


# Archives


def test_an_archive_becomes_pictures(curator: Client) -> None:
    data = archive(cat__Tom=picture(1), dog__Rex=picture(2), again=picture(1), notes=b"no picture")
    row = send_zip(curator, data, label="pets")
    assert counted(row) == (2, 1, 1)
    assert [name for name, _ in row.refused] == ["notes.png"]
    assert set(Image.objects.values_list("title", "label")) == {("Tom", "pets"), ("Rex", "pets")}
    assert row.finished_at is not None
    assert parts.found(row.parts_prefix) == []
    assert "2 added, 1 were there already, 1 refused." in curator.get(reverse(STATE)).content.decode()


def test_folders_become_labels_if_that_is_wanted(curator: Client) -> None:
    send_zip(curator, archive(trip__cat__Tom=picture(1), Rex=picture(2)), label="pets", folders="1")
    assert dict(Image.objects.values_list("title", "label")) == {"Tom": "cat", "Rex": "pets"}


def test_an_interrupted_upload_goes_on(curator: Client) -> None:
    data = archive(Tom=picture(1))
    address = begin(curator, data)["url"]
    part(curator, address, 0, data[:100])
    assert begin(curator, data) == {"url": address, "received": 100}
    misplaced = part(curator, address, 50, data[50:])
    assert (misplaced.status_code, misplaced.json()) == (409, {"received": 100})
    assert not zips.unfinished().exists()
    part(curator, address, 100, data[100:])
    assert zips.step()
    assert Image.objects.get().title == "Tom"


def test_a_part_that_was_cut_off_does_not_spoil_the_whole_one(curator: Client) -> None:
    """The request that was cut off is written last, and its row is not counted."""
    data = archive(Tom=picture(1), Rex=picture(2))
    address = begin(curator, data)["url"]
    part(curator, address, 0, data[:1000])
    row = ZipImport.objects.get()
    parts.keep(row, 0, data[:400])
    parts.keep(row, 500, data[500:1200])
    part(curator, address, 1000, data[1000:])
    with io.BufferedReader(parts.Archive(row)) as read:
        assert read.read() == data
    assert zips.step()
    assert counted(ZipImport.objects.get()) == (2, 0, 0)
    assert parts.found(row.parts_prefix) == []


def test_an_archive_with_a_missing_part_is_refused(curator: Client) -> None:
    data = archive(Tom=picture(1))
    address = begin(curator, data)["url"]
    part(curator, address, 0, data[:1000])
    parts.remove(ZipImport.objects.get().parts_prefix)
    part(curator, address, 1000, data[1000:])
    assert zips.step()
    row = ZipImport.objects.get()
    assert (row.error, parts.found(row.parts_prefix)) == ("The archive is gone; upload it again.", [])


def test_a_request_brings_a_part_of_bounded_size(curator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "PART_BYTES", 700)
    data = archive(Tom=picture(1))
    assert part(curator, begin(curator, data)["url"], 0, data).json() == {"received": 700}


def test_nobody_goes_on_with_an_archive_of_somebody_else(curator: Client, admin_client: Client) -> None:
    data = archive(Tom=picture(1))
    address = begin(curator, data)["url"]
    assert part(admin_client, address, 0, data).status_code == 404
    assert begin(admin_client, data)["url"] != address


def overlapping() -> bytes:
    """Many names for the same bytes."""
    data = bytearray(archive(**{f"bomb{n}": picture(1) for n in range(3)}))
    at = data.index(b"PK\x01\x02")
    while at >= 0:
        data[at + 42 : at + 46] = bytes(4)  # each begins where the first one does
        data[at + 20 : at + 24] = struct.pack("<I", 5000)
        at = data.find(b"PK\x01\x02", at + 1)
    return bytes(data)


def hostile() -> Iterator[Any]:
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as file:
        for number in range(6):
            file.writestr(f"{number}.png", b"")
    yield pytest.param(many.getvalue(), "more than", id="many files")
    yield pytest.param(archive(zeros=bytes(5_000_000)), "far more", id="ratio")
    yield pytest.param(overlapping(), "overlap", id="overlapping")
    yield pytest.param(b"no archive at all", "damaged", id="no archive")
    large = bytearray(archive(Tom=picture(1)))
    end = large.rindex(b"PK\x05\x06")
    large[end + 12 : end + 16] = struct.pack("<I", 2**31)
    yield pytest.param(bytes(large), "more than", id="long list of files")


@pytest.mark.parametrize(("data", "told"), list(hostile()))
def test_a_hostile_archive_is_refused_as_a_whole(
    curator: Client, data: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MOST_FILES", 5)
    row = send_zip(curator, data)
    assert told in row.error
    assert row.finished_at is not None
    assert not Image.objects.exists()
    assert files_kept() == []


def test_names_in_an_archive_are_no_paths(curator: Client) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number, name in enumerate(["../../../tmp/up.png", "/etc/root.png", "..\\win.png", "__MACOSX/._up.png"]):
            file.writestr(name, picture(number))
    send_zip(curator, data.getvalue())
    assert set(Image.objects.values_list("title", flat=True)) == {"root"}  # others look like hidden files
    paths = {file.path for image in Image.objects.all() for file in image.files}
    assert set(files_kept()) <= paths


def test_what_systems_keep_beside_pictures_is_left_out_of_an_archive(curator: Client) -> None:
    folders = ("@eaDir", "#Recycle", "$RECYCLE.BIN", "found.000", "Catalog Previews.lrdata", ".thumbnails")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number, folder in enumerate(folders):
            file.writestr(f"holiday/{folder}/left over.png", picture(number))
        file.writestr("holiday/recycle/kept.png", picture(90))
    assert counted(send_zip(curator, data.getvalue())) == (1, 0, 0)
    assert Image.objects.get().title == "kept"


def test_a_file_larger_than_an_upload_is_refused_alone(curator: Client, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 20_000
    row = send_zip(curator, archive(Tom=picture(1), large=picture(2) + bytes(30_000)))
    assert counted(row) == (1, 0, 1)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_file_is_refused_alone_whatever_its_compression(curator: Client, method: int) -> None:
    data = bytearray(archive(method, damaged=picture(1), Tom=picture(2)))
    at = 30 + len("damaged.png") + 4  # in the first file, where LZMA has its properties
    data[at : at + 40] = b"\xff" * 40
    assert counted(send_zip(curator, bytes(data))) == (1, 0, 1)


def test_a_worker_that_ends_in_the_middle_loses_and_counts_none_twice(
    curator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive(**{f"p{n}": picture(n) for n in range(5)})
    address = begin(curator, data)["url"]
    part(curator, address, 0, data)
    count, left = zips._count, [3]

    def ends(*arguments: Any, **fields: Any) -> bool:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return count(*arguments, **fields)

    monkeypatch.setattr(zips, "_count", ends)
    with pytest.raises(KeyboardInterrupt):
        zips.step()
    while zips.step():
        pass
    assert counted(ZipImport.objects.get()) == (5, 0, 0)
    assert Image.objects.count() == 5


def test_an_abandoned_upload_goes(
    curator: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    data = archive(Tom=picture(1))
    part(curator, begin(curator, data)["url"], 0, data[:100])
    assert zips.remove_old() == 0
    ZipImport.objects.update(created_at=ago(2 * 24 * 3600))
    with django_capture_on_commit_callbacks(execute=True):
        assert zips.remove_old() == 1
    assert files_kept() == []


def test_the_row_of_a_finished_import_goes_after_a_day(curator: Client) -> None:
    send_zip(curator, archive(Tom=picture(1)))
    ZipImport.objects.update(created_at=ago(2 * 24 * 3600))
    assert zips.remove_old() == 0
    ZipImport.objects.update(finished_at=ago(2 * 24 * 3600))
    assert zips.remove_old() == 1
    assert Image.objects.count() == 1
