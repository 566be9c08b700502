"""From what somebody sent to pictures of our own making."""

import hashlib
import io

import PIL.Image
import pytest
from pytest_django import Settings

from gallery import uploads
from gallery.errors import Refusal
from tests.engine.pictures import FORMATS, encoded, noise, oriented, scene, with_metadata


def opened(data: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_picture_becomes_a_jpeg(name: str) -> None:
    upload = uploads.accept(io.BytesIO(encoded(scene(), name)), with_thumbnail=True)
    for data in (upload.picture, upload.thumbnail):
        assert (opened(data).format, opened(data).mode, opened(data).size) == ("JPEG", "RGB", (120, 80))
    assert (upload.width_px, upload.height_px) == (120, 80)


def test_the_hash_is_that_of_the_file_as_it_came() -> None:
    data = encoded(scene(), "PNG")
    assert uploads.accept(io.BytesIO(data)).content_hash == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("size", "stored", "thumbnail"),
    [((100, 50), (100, 50), (100, 50)), ((3000, 1500), (1024, 512), (320, 160)), ((600, 2400), (256, 1024), (80, 320))],
)
def test_a_large_picture_is_kept_smaller(
    size: tuple[int, int], stored: tuple[int, int], thumbnail: tuple[int, int]
) -> None:
    upload = uploads.accept(io.BytesIO(encoded(scene(*size), "JPEG")), with_thumbnail=True)
    assert opened(upload.picture).size == stored == (upload.width_px, upload.height_px)
    assert opened(upload.thumbnail).size == thumbnail


def test_a_thumbnail_is_made_only_where_it_is_wanted() -> None:
    assert uploads.accept(io.BytesIO(encoded(scene(), "PNG"))).thumbnail == b""


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_sent_bytes_lives_on(name: str) -> None:
    data = with_metadata(name)
    upload = uploads.accept(io.BytesIO(data + b"<script>secret</script>"), with_thumbnail=True)
    assert b"secret" in data
    for kept in (upload.picture, upload.thumbnail):
        assert b"secret" not in kept
        assert not opened(kept).getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_kept_is_upright(orientation: int) -> None:
    upload = uploads.accept(io.BytesIO(oriented(scene(), "JPEG", orientation)))
    upright = opened(upload.picture)
    assert upright.size == (120, 80)
    corners = [upright.resize((1, 1), box=(x, y, x + 5, y + 5)).tobytes() for x, y in ((2, 2), (113, 2), (2, 73))]
    assert [corner.index(max(corner)) for corner in corners] == [0, 1, 2]  # red, green, blue


def test_a_large_file_is_read_only_as_far_as_needed(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = 1000
    file = io.BytesIO(encoded(noise(), "PNG"))
    with pytest.raises(Refusal) as refusal:
        uploads.accept(file)
    assert (refusal.value.code, refusal.value.status) == ("too_large", 413)
    assert file.tell() == 1001


def test_the_limit_of_pixels_is_a_setting(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_PIXELS = 120 * 80 - 1
    with pytest.raises(Refusal) as refusal:
        uploads.accept(io.BytesIO(encoded(scene(), "PNG")))
    assert refusal.value.code == "too_many_pixels"
