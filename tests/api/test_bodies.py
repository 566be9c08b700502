"""POST /api/queries and /api/images with what programs send besides a well-made form."""

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from gallery.models import Image, Query
from tests.api.answers import Response, error_code
from tests.engine.pictures import encoded, noise
from tests.gallery.rows import add_image, files_kept, picture
from tests.stack import Stack

pytestmark = pytest.mark.django_db

KEY = "key-of-the-camera"
CALLS = ["/api/queries", "/api/images"]
BOUNDARY = "-a-line-that-is-in-no-picture"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
END = f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(autouse=True)
def _no_temporary_file_stays(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.SIMSEARCH_API_KEYS = [KEY]
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", settings.FILE_UPLOAD_TEMP_DIR)
    yield
    assert list((tmp_path / "temporary").iterdir()) == []


def post(client: Client, address: str, body: Any, kind: str) -> Response:
    return client.post(address, body, content_type=kind, headers={"Authorization": f"Bearer {KEY}"})


def message(response: Response) -> str:
    error_code(response)
    text: str = response.json()["error"]["message"]
    return text


def part(name: str, data: bytes, headers: str = "") -> bytes:
    """Return a part of a form as it is sent."""
    start = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{headers}\r\n\r\n'
    return start.encode() + data + b"\r\n"


# The body is the picture


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/x-unheard-of", "application/octet-stream"])
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_picture_as_the_body_is_searched(client: Client, kind: str, name: str) -> None:
    data = encoded(noise(), name)
    response = post(client, "/api/queries?k=3&crop=0,0,0.5,1&collapse=0", data, kind)
    assert response.status_code == 202
    query = Query.objects.get()
    assert (query.k, query.crop, query.collapse, query.has_picture) == (3, [0, 0, 0.5, 1], False, True)
    assert query.upload_file.path.read_bytes() == data
    assert files_kept() == [query.upload_file.path]


def test_a_picture_as_the_body_comes_into_the_gallery(client: Client) -> None:
    response = post(client, "/api/images?label=cat&title=Tom", picture(), "image/png")
    assert response.status_code == 201
    image = Image.objects.get()
    assert (image.label, image.title, image.upload_file.path.read_bytes()) == ("cat", "Tom", picture())


def test_without_a_key_a_body_is_no_gallery_picture(client: Client) -> None:
    response = client.post("/api/images", picture(), content_type="image/png")
    assert (response.status_code, error_code(response)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty"),
        (b"I am no picture.", 415, "unsupported_format"),
        (encoded(noise(), "JPEG") + bytes(16 * 2**20), 413, "too_large"),
        (encoded(noise(), "JPEG") + bytes(20 * 2**20), 413, "too_large"),
    ],
    ids=["empty", "text", "too large", "20 MB"],
)
def test_a_bad_body_is_refused(client: Client, data: bytes, status: int, code: str) -> None:
    response = post(client, "/api/queries", data, "image/jpeg")
    assert (response.status_code, error_code(response)) == (status, code)
    assert files_kept() == []


def test_a_bad_parameter_beside_a_body_is_refused(client: Client) -> None:
    response = post(client, "/api/queries?k=many", picture(), "image/png")
    assert (response.status_code, error_code(response)) == (422, "invalid")


def test_a_body_can_be_asked_about_together_with_ids(client: Client) -> None:
    image = add_image()
    assert post(client, f"/api/queries?unlike={image.pk}", picture(), "image/png").status_code == 202
    [part] = Query.objects.get().further
    assert (part.image, part.is_negative) == (image, True)


def test_a_full_disk_is_reported(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "nowhere")
    response = post(client, "/api/queries", picture(), "image/png")
    assert (response.status_code, error_code(response)) == (507, "no_space")


# The rest: what arrived, what is wanted, an example

BASE64 = base64.b64encode(picture()).decode()
NO_FILE_NAME = part("image", picture()) + END
ARRIVED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "", "the request has no body"),
    "base64 in JSON": (json.dumps({"image": BASE64}).encode(), "application/json", "nor from base64"),
    "what curl sends by --data-binary": (picture(), "application/x-www-form-urlencoded", "carries no files"),
    "base64 in a form": (f"image={BASE64}".encode(), "application/x-www-form-urlencoded", "carries no files"),
    "a text": (b"picture.jpg", "text/plain", "arrived as text/plain"),
    "a film": (b"\0" * 99, "video/mp4", "arrived as video/mp4"),
    "an empty form": (END, FORM, "arrived without `image`"),
    "a form of other fields": (part("k", b"3") + part("picture", b"x") + END, FORM, "it has `k`, `picture`"),
    "no file name": (NO_FILE_NAME, FORM, "no file name"),
    "another name": (part("file", picture(), '; filename="p.jpg"') + END, FORM, "A file arrived as `file`"),
}


@pytest.mark.parametrize("address", CALLS)
@pytest.mark.parametrize(("body", "kind", "expected"), ARRIVED.values(), ids=ARRIVED)
def test_a_request_without_a_picture_says_what_arrived(
    client: Client, address: str, body: bytes, kind: str, expected: str
) -> None:
    response = post(client, address, body, kind)
    assert (response.status_code, error_code(response)) == (422, "empty")
    assert expected in message(response)
    assert f"curl -F image=@picture.jpg http://testserver{address}" in message(response)
    assert f"--data-binary @picture.jpg http://testserver{address}" in message(response)
    assert not Query.objects.exists()
    assert not Image.objects.exists()


LARGE = bytes(3 * 2**20)
UNREADABLE = {
    "no boundary": (b"--b\r\n", "multipart/form-data", "without its boundary"),
    "a large part without a file name": (part("image", LARGE) + END, FORM, "has no file name"),
    "a large file by --data-binary": (LARGE, "application/x-www-form-urlencoded", "carries no files"),
}


@pytest.mark.parametrize("address", CALLS)
@pytest.mark.parametrize(("body", "kind", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_request_that_cannot_be_read_says_why(
    client: Client, address: str, body: bytes, kind: str, expected: str
) -> None:
    response = post(client, address, body, kind)
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert expected in message(response)
    assert "curl -F image=@picture.jpg" in message(response)


def test_two_gallery_pictures_are_not_one(client: Client) -> None:
    files = [SimpleUploadedFile(f"{seed}.png", picture(seed)) for seed in (1, 2)]
    response = client.post("/api/images", {"image": files}, headers={"Authorization": f"Bearer {KEY}"})
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert "Several pictures arrived as `image`" in message(response)
    assert files_kept() == []


# In chunks, without a length: as gunicorn hands it over

CHUNK = 1000


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


@pytest.mark.parametrize("size", [(48, 32), (1600, 1200)], ids=["small", "2 MB"])
@pytest.mark.parametrize("way", ["form", "body"])
def test_a_picture_in_chunks_is_searched(stack: Stack, way: str, size: tuple[int, int]) -> None:
    data = encoded(noise(*size), "PNG")
    kind = FORM if way == "form" else "image/png"
    body = part("image", data, '; filename="p.png"') + END if way == "form" else data
    response = stack.client.post("/api/queries", content=chunks(body), headers={"Content-Type": kind})
    assert response.status_code == 202, response.text
    assert stack.answer(response.json()["id"])["state"] == "done"


def test_a_file_too_large_in_chunks_is_refused(stack: Stack) -> None:
    body = encoded(noise(), "JPEG") + bytes(18 * 2**20)
    for kind, sent in (("image/jpeg", body), (FORM, part("image", body, '; filename="p.jpg"') + END)):
        response = stack.client.post("/api/queries", content=chunks(sent), headers={"Content-Type": kind})
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_other_bodies_in_chunks_hear_what_arrived(stack: Stack) -> None:
    body = json.dumps({"image": BASE64}).encode()
    response = stack.client.post("/api/queries", content=chunks(body), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "empty")
    assert "JSON arrived" in response.json()["error"]["message"]
