"""POST /api/queries."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.models import Query
from gallery.operations import workers
from gallery.queries import waiting
from tests.api.answers import Response, error_code
from tests.engine.pictures import encoded, noise, png
from tests.gallery.rows import STRANGER, add_image, ask, files_kept, picture

pytestmark = pytest.mark.django_db


def post(client: Client, data: bytes | None = None, **fields: Any) -> Response:
    """Ask with a file that calls itself a JPEG, whatever it is, or with the fields alone."""
    file = {} if data is None else {"image": SimpleUploadedFile("picture.jpg", data, "image/jpeg")}
    return client.post("/api/queries", file | fields)


@pytest.fixture
def nothing_is_left(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards there is no new row and no new file, neither kept nor temporary."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    rows, files = Query.objects.count(), files_kept()
    yield
    assert Query.objects.count() == rows
    assert files_kept() == files
    assert list(temporary.iterdir()) == []


# Accepted


def test_an_upload_becomes_a_waiting_query(client: Client) -> None:
    response = post(client, picture())
    assert response.status_code == 202
    query = Query.objects.get()
    assert response.json() == {
        "id": str(query.pk),
        "state": "waiting",
        "url": f"/api/queries/{query.pk}",
        "poll_after_ms": round(1000 * (waiting.USUAL_S + waiting.WAKE_S + 1 / waiting.USUAL_PER_S)),
    }
    assert (query.k, query.crop, query.labels, query.like) == (10, None, [], None)
    assert files_kept() == [query.upload_file.path]


def test_the_options_are_kept(client: Client) -> None:
    add_image(2, label="cat"), add_image(3, label="dog")
    response = post(client, picture(), k="100", crop="0.1, 0.2, 0.5, 0.8", label=["cat", "dog"])
    assert response.status_code == 202
    query = Query.objects.get()
    assert (query.k, query.crop, query.labels) == (100, [0.1, 0.2, 0.5, 0.8], ["cat", "dog"])


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("water_lily", "water_lilly"), ("WATER LILLY", "water_lilly"), ("Asthetik", "Ästhetik"), ("dgo", "dog")],
)
def test_an_unknown_label_is_refused_with_the_nearest_one(client: Client, wanted: str, nearest: str) -> None:
    for seed, label in enumerate(["water_lilly", "Ästhetik", "dog"], start=1):
        add_image(seed, label=label)
    response = post(client, picture(), label=["dog", wanted])
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert (
        f"No picture has the label '{wanted}'; the nearest label is '{nearest}'." in response.json()["error"]["message"]
    )
    assert not Query.objects.exists()


def test_an_unknown_label_like_no_other_is_refused(client: Client) -> None:
    add_image(label="dog")
    response = post(client, picture(), label="zebra crossing")
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert "nearest" not in response.content.decode()


def test_the_label_of_a_hidden_picture_stays_unknown(client: Client) -> None:
    add_image(label="secret", is_hidden=True)
    response = post(client, picture(), label="secret")
    assert (response.status_code, "nearest" in response.content.decode()) == (422, False)


def test_a_gallery_picture_can_be_searched_for(client: Client) -> None:
    image = add_image()
    before = files_kept()
    assert post(client, like=str(image.pk), k="3").status_code == 202
    query = Query.objects.get()
    assert (query.like, query.has_picture, query.k) == (image, False, 3)
    assert files_kept() == before


def test_the_workers_are_woken(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        post(client, picture())
    with workers.connect() as redis:
        assert redis.llen("search") == 1


def test_a_program_needs_no_csrf_token() -> None:
    assert post(Client(enforce_csrf_checks=True), picture()).status_code == 202


def test_a_file_of_exactly_the_limit_is_accepted(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES = len(picture())
    assert post(client, picture()).status_code == 202


# Refused: the file

JPEG = encoded(noise(), "JPEG")
BAD_FILES = {
    "empty": (b"", 422, "empty"),
    "text": (b"I am a text file, whatever my name says.\n" * 50, 415, "unsupported_format"),
    "script": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415, "unsupported_format"),
    "enormous": (png((30000, 30000), 8, 2, bytes(100)), 422, "too_many_pixels"),
    "a byte too large": (JPEG + bytes(16 * 2**20 + 1 - len(JPEG)), 413, "too_large"),
    "20 MB": (JPEG + bytes(20 * 2**20), 413, "too_large"),  # turned away before anything is parsed
}


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(("data", "status", "code"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused(client: Client, data: bytes, status: int, code: str) -> None:
    response = post(client, data)
    assert (response.status_code, error_code(response)) == (status, code)


# Refused: the question

BAD_QUESTIONS: dict[str, tuple[dict[str, str], bool, int, str]] = {
    "no picture": ({}, False, 422, "empty"),
    "text for a picture": ({"image": "picture.jpg"}, False, 422, "empty"),
    "k of 0": ({"k": "0"}, True, 422, "invalid"),
    "k of 101": ({"k": "101"}, True, 422, "invalid"),
    "k in words": ({"k": "many"}, True, 422, "invalid"),
    "three fractions": ({"crop": "0,0,1"}, True, 422, "invalid"),
    "no numbers": ({"crop": "a,b,c,d"}, True, 422, "invalid"),
    "crop outside": ({"crop": "0.5,0.5,0.6,0.5"}, True, 422, "invalid"),
    "crop of nothing": ({"crop": "0.5,0.5,0,0.5"}, True, 422, "invalid"),
    "crop not a number": ({"crop": "nan,0,1,1"}, True, 422, "invalid"),
    "label with a NUL": ({"label": "c\0t"}, True, 422, "invalid"),
    "like no id": ({"like": "the red one"}, False, 422, "invalid"),
    "like nothing": ({"like": str(STRANGER)}, False, 404, "not_found"),
}


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(("fields", "with_file", "status", "code"), BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_a_bad_question_is_refused(
    client: Client, fields: dict[str, str], with_file: bool, status: int, code: str
) -> None:
    response = post(client, picture() if with_file else None, **fields)
    assert (response.status_code, error_code(response)) == (status, code)


def test_a_hidden_picture_cannot_be_searched_for(client: Client) -> None:
    response = post(client, like=str(add_image(is_hidden=True).pk))
    assert (response.status_code, error_code(response)) == (404, "not_found")
    assert not Query.objects.exists()


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"not multipart at all", "multipart/form-data"),
        (b"--b\r\nContent-Disposition: nonsense", "multipart/form-data; boundary=b"),
        (b'{"k": 10}', "application/json"),
    ],
    ids=["no boundary", "broken off", "json"],
)
def test_a_body_that_is_no_form_is_refused(client: Client, body: bytes, content_type: str) -> None:
    response = client.post("/api/queries", body, content_type=content_type)
    assert response.status_code in {400, 422}
    assert error_code(response) in {"empty", "invalid"}


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("labels", [["cat"] * 1001, ["c" * 3 * 2**20]], ids=["too many", "too long"])
def test_a_flood_of_fields_is_refused(client: Client, labels: list[str]) -> None:
    response = post(client, picture(), label=labels)
    assert (response.status_code, error_code(response)) == (422, "invalid")


@pytest.mark.usefixtures("nothing_is_left")
def test_a_flood_of_files_is_refused(client: Client) -> None:
    files = {f"file{number}": SimpleUploadedFile("picture.jpg", picture()) for number in range(11)}
    response = client.post("/api/queries", files)
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert client.post("/", files).status_code == 400


def test_only_post_asks(client: Client) -> None:
    response = client.get("/api/queries")
    assert (response.status_code, response["Allow"]) == (405, "POST")


# Refused: the moment


@pytest.mark.parametrize("about", ["an upload", "a gallery picture"])
@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [("SIMSEARCH_MAX_WAITING", 503, "busy"), ("SIMSEARCH_UPLOADS_PER_MINUTE", 429, "throttled")],
)
def test_a_full_house_says_when_to_come_back(
    client: Client, settings: Settings, about: str, limit: str, status: int, code: str
) -> None:
    image = add_image()
    before = files_kept()
    setattr(settings, limit, 0)
    response = post(client, picture()) if about == "an upload" else post(client, like=str(image.pk))
    assert (response.status_code, error_code(response)) == (status, code)
    assert int(response["Retry-After"]) > 0
    assert not Query.objects.exists()
    assert files_kept() == before


def test_one_client_cannot_take_the_turn_of_another(settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 2
    greedy, modest = Client(REMOTE_ADDR="192.0.2.1"), Client(REMOTE_ADDR="192.0.2.2")
    assert [post(greedy, picture()).status_code for _ in range(3)] == [202, 202, 429]
    assert post(modest, picture()).status_code == 202


def test_the_queue_takes_as_many_as_it_may_hold(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 2
    ask()
    assert [post(client, picture()).status_code for _ in range(2)] == [202, 503]


def test_a_full_disk_is_said_and_leaves_no_row(client: Client, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"")
    settings.UPLOADS_ROOT = tmp_path / "full" / "uploads"  # below a file, nothing can be written
    response = post(client, picture())
    assert (response.status_code, error_code(response)) == (507, "no_space")
    assert not Query.objects.exists()
