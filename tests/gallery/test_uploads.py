"""From what somebody sent to pictures of our own making."""

import io
import resource
import signal
from pathlib import Path

import PIL.Image
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import Client
from pytest_django import Settings

from engine.errors import BadImage
from gallery.curation import pictures
from gallery.errors import Refusal
from gallery.queries import uploads
from gallery.storage.files import Stored
from tests.engine.pictures import FORMATS, encoded, noise, oriented, scene, with_metadata


def opened(data: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_picture_becomes_a_jpeg(name: str) -> None:
    upload = pictures.reencode(encoded(scene(), name))
    for data in (upload.picture, upload.thumbnail):
        assert (opened(data).format, opened(data).mode, opened(data).size) == ("JPEG", "RGB", (120, 80))
    assert (upload.width_px, upload.height_px) == (120, 80)


@pytest.mark.parametrize(
    ("size", "preview", "thumbnail"),
    [((100, 50), None, (100, 50)), ((3000, 1500), (1000, 500), (320, 160)), ((600, 2400), (250, 1000), (80, 320))],
)
def test_a_large_picture_has_a_preview_and_a_thumbnail(
    size: tuple[int, int], preview: tuple[int, int] | None, thumbnail: tuple[int, int]
) -> None:
    upload = pictures.reencode(encoded(scene(*size), "JPEG"))
    assert opened(upload.picture).size == size == (upload.width_px, upload.height_px)
    assert (opened(upload.preview).size if upload.preview else None) == preview
    assert opened(upload.thumbnail).size == thumbnail


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_sent_bytes_lives_on(name: str) -> None:
    data = with_metadata(name)
    upload = pictures.reencode(data + b"<script>secret</script>")
    assert b"secret" in data
    for kept in (upload.picture, upload.thumbnail):
        assert b"secret" not in kept
        assert not opened(kept).getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_kept_is_upright(orientation: int) -> None:
    upload = pictures.reencode(oriented(scene(), "JPEG", orientation))
    upright = opened(upload.picture)
    assert upright.size == (120, 80)
    corners = [upright.resize((1, 1), box=(x, y, x + 5, y + 5)).tobytes() for x, y in ((2, 2), (113, 2), (2, 73))]
    assert [corner.index(max(corner)) for corner in corners] == [0, 1, 2]  # red, green, blue


# What the web process does with the bytes


@pytest.mark.parametrize("is_large", [False, True])
def test_the_bytes_are_stored_as_they_came_for_our_processes_alone(tmp_path: Path, is_large: bool) -> None:
    data, path = encoded(scene(), "PNG"), tmp_path / "uploads" / "ab" / "name"
    file = TemporaryUploadedFile("a.png", "image/png", len(data), None) if is_large else SimpleUploadedFile("a", data)
    file.seek(0)
    if is_large:
        file.write(data)
        file.seek(0)
    uploads.check(file)
    uploads.store(file, Stored("uploads", "ab/name"))
    file.close()
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_disk_is_a_refusal_and_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"")
    settings.UPLOADS_ROOT = tmp_path / "full"
    with pytest.raises(Refusal) as refusal:
        uploads.store(SimpleUploadedFile("a", b"data"), Stored("uploads", "name"))
    assert (refusal.value.code, refusal.value.status) == ("no_space", 507)


def test_a_disk_that_fills_up_while_a_large_body_is_read_is_a_refusal(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_HANDLERS = ["gallery.site.submit.UploadHandler"]
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, limit[1]))  # the kernel refuses what comes after it
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        posted = client.post("/api/queries", {"image": SimpleUploadedFile("a", bytes(2**21))})
    finally:
        signal.signal(signal.SIGXFSZ, handler)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (posted.status_code, posted.json()["error"]["code"]) == (507, "no_space")


@pytest.mark.parametrize("count", [0, 1001])
def test_the_size_of_a_file_is_judged(settings: Settings, count: int) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 1000
    with pytest.raises(Refusal) as refusal:
        uploads.check(SimpleUploadedFile("a", bytes(count)))
    assert (refusal.value.code, refusal.value.status) == (("too_large", 413) if count else ("empty", 422))


def test_the_limit_of_pixels_is_a_setting(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_PIXELS = 120 * 80 - 1
    with pytest.raises(Refusal) as refusal:
        uploads.check(SimpleUploadedFile("a", encoded(scene(), "PNG")))
    assert refusal.value.code == "too_many_pixels"


def test_the_web_process_takes_damaged_pixels_for_a_worker_to_find() -> None:
    data = encoded(noise(), "JPEG")
    uploads.check(SimpleUploadedFile("a", data[: len(data) // 2]))
    with pytest.raises(BadImage) as error:
        pictures.reencode(data[: len(data) // 2])
    assert error.value.code == "corrupt"
