"""Gallery pictures are kept as large as the settings say; what the model sees of them does not depend on that."""

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from PIL import ExifTags
from PIL import Image as Pillow
from pytest_django import Settings

from gallery.curation import importing, library, pictures
from gallery.models import Image
from tests.engine.pictures import noise
from tests.gallery.rows import STRANGER, add_file, add_image, files_kept, uploaded

pytestmark = pytest.mark.django_db

TAKEN, DIGITIZED = ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized
OFFSET = ExifTags.Base.OffsetTimeOriginal


def photo(width: int = 4800, height: int = 3600, kind: str = "JPEG", exif: dict[int, Any] | None = None) -> bytes:
    """Return a photograph's file with these fields of Exif."""
    data, file = Pillow.Exif(), io.BytesIO()
    data[ExifTags.Base.Make] = "Camera"  # Pillow leaves out Exif without it
    data.get_ifd(ExifTags.IFD.Exif).update(exif or {})
    noise(60, 45).resize((width, height)).save(file, kind, exif=data, quality=80)
    return file.getvalue()


def add(data: bytes) -> Image:
    return add_file(data)


def size(data: bytes) -> tuple[int, int]:
    return Pillow.open(io.BytesIO(data)).size


def sizes(image: Image) -> list[tuple[int, int]]:
    return [
        size(path.read_bytes()) for path in (image.picture_file.path, image.shown_file.path, image.thumbnail_file.path)
    ]


@pytest.mark.parametrize(
    ("kept_px", "picture"), [(4096, (4096, 3072)), (2000, (2000, 1500)), (5000, (4800, 3600)), (1000, (1000, 750))]
)
def test_a_picture_is_kept_as_large_as_the_setting_says(
    settings: Settings, kept_px: int, picture: tuple[int, int]
) -> None:
    settings.SIMSEARCH_KEPT_PX = kept_px
    image = add(photo())
    assert sizes(image) == [picture, (1000, 750), (320, 240)]
    assert (image.width_px, image.height_px) == picture
    assert image.has_preview == (kept_px > 1000)


def test_what_the_model_sees_is_the_same_for_every_setting(settings: Settings) -> None:
    """The preview is byte for byte the file that is kept where nothing larger is."""
    data, seen = photo(), set()
    for kept_px in (1000, 2000, 4096):
        settings.SIMSEARCH_KEPT_PX = kept_px
        encoded = pictures.reencode(data)
        seen.add(hashlib.sha256(encoded.preview or encoded.picture).hexdigest())
    assert len(seen) == 1


@pytest.mark.parametrize("side", [800, 1000])
def test_a_small_picture_is_its_own_preview(side: int) -> None:
    image = add(photo(side, side // 2))
    assert (image.has_preview, image.shown_file.path) == (False, image.picture_file.path)
    assert len(files_kept()) == 2


def test_a_strip_keeps_its_rows() -> None:
    image = add(photo(9000, 500))
    assert sizes(image)[:2] == [(7373, 410), (1800, 100)]


def test_a_picture_that_takes_much_memory_is_kept_smaller() -> None:
    """48 megapixels: at full scale decoding would take more than the 250 MB that a picture may take."""
    image = add(photo(8000, 6000))
    assert sizes(image)[:2] == [(3072, 2304), (1000, 750)]


def test_pages_show_the_preview_and_open_the_large_one(client: Client) -> None:
    image = add(photo())
    page = client.get(f"/gallery/{image.pk}").content.decode()
    assert f'<a href="/gallery/{image.pk}/picture.jpg"' in page
    assert f'<img src="/gallery/{image.pk}/preview.jpg" width="4096" height="3072"' in page
    answers = [client.get(f"/gallery/{image.pk}/{name}.jpg") for name in ("picture", "preview", "thumbnail")]
    assert [size(b"".join(answer)) for answer in answers] == [(4096, 3072), (1000, 750), (320, 240)]


def test_a_picture_of_a_version_before_is_shown_as_it_is(client: Client) -> None:
    image = add_image()
    Image.objects.update(has_preview=None, has_original=None)
    answer = client.get(f"/gallery/{image.pk}/preview.jpg")
    assert b"".join(answer) == image.picture_file.path.read_bytes()


def test_all_files_go_with_the_picture(settings: Settings, django_capture_on_commit_callbacks: Any) -> None:
    settings.SIMSEARCH_KEEP_ORIGINALS = True
    image = add(photo())
    written = image.files[:4]
    assert {path.exists() for path in written} == {True}
    with django_capture_on_commit_callbacks(execute=True):
        image.delete()
    assert not any(path.exists() for path in written)


# --- The date ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_the_date_comes_from_the_camera(kind: str) -> None:
    image = add(photo(60, 45, kind, {TAKEN: "2019:07:14 18:30:05"}))
    image.refresh_from_db()
    assert image.taken_at == datetime(2019, 7, 14, 18, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("exif", "taken"),
    [
        ({TAKEN: "2019:07:14 18:30:05", OFFSET: "+02:00"}, datetime(2019, 7, 14, 16, 30, 5, tzinfo=UTC)),
        ({TAKEN: "2019:07:14 18:30:05", OFFSET: "nowhere"}, datetime(2019, 7, 14, 18, 30, 5, tzinfo=UTC)),
        ({DIGITIZED: "1999:12:31 23:59:59"}, datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ({TAKEN: "0000:00:00 00:00:00"}, None),
        ({TAKEN: "0001:01:01 00:00:00", OFFSET: "+14:00"}, None),
        ({TAKEN: "9999:12:31 23:59:59"}, None),
        ({TAKEN: "yesterday"}, None),
        ({}, None),
    ],
)
def test_a_date_that_is_none_is_left_out(exif: dict[int, Any], taken: datetime | None) -> None:
    assert pictures.reencode(photo(60, 45, exif=exif)).taken_at == taken


def test_an_uploaded_picture_has_its_date_once_it_is_decoded() -> None:
    image = Image()
    library.upload(image, uploaded(photo(60, 45, exif={TAKEN: "2019:07:14 18:30:05"})))
    assert importing.decode_pending(10) == 1
    image.refresh_from_db()
    assert image.taken_at == datetime(2019, 7, 14, 18, 30, 5, tzinfo=UTC)


# --- The original --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["import", "upload"])
def test_the_staff_gets_the_original(settings: Settings, way: str) -> None:
    settings.SIMSEARCH_KEEP_ORIGINALS = True
    data = photo(60, 45, exif={TAKEN: "2019:07:14 18:30:05"})
    if way == "import":
        image = add(data)
    else:
        library.upload(image := Image(), uploaded(data))
        importing.decode_pending(10)
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_image"))
    client = Client()
    client.force_login(staff)
    answer = client.get(f"/gallery/{image.pk}/original")
    assert b"".join(answer) == data
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer["Content-Security-Policy"]
    assert "Download the original" in client.get(f"/gallery/{image.pk}").content.decode()


def test_nobody_else_gets_it(settings: Settings, visitor: Client, member: Client) -> None:
    settings.SIMSEARCH_KEEP_ORIGINALS = True
    image = add(photo(60, 45))
    unprivileged = Client()
    unprivileged.force_login(User.objects.create_user("staff", is_staff=True))
    for client in (visitor, member, unprivileged):
        assert client.get(f"/gallery/{image.pk}/original").status_code == 404
    assert "Download the original" not in visitor.get(f"/gallery/{image.pk}").content.decode()


def test_without_the_setting_no_original_is_kept(curator: Client) -> None:
    image = add(photo(60, 45))
    assert not image.original_file.path.exists()
    for pk in (image.pk, STRANGER):
        assert curator.get(f"/gallery/{pk}/original").status_code == 404
