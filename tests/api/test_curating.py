"""POST /api/images, PATCH and DELETE /api/images/<id>: for clients with a key of the gallery."""

import io
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.curation import importing, pictures
from gallery.models import Image
from tests import fresh
from tests.api.answers import Response, error_code
from tests.gallery.rows import add_image, files_kept, picture

pytestmark = pytest.mark.django_db

KEY, OTHER = "key-of-the-camera", "key-of-the-scanner"


@pytest.fixture(autouse=True)
def _keys(settings: Settings) -> None:
    settings.SIMSEARCH_API_KEYS = [KEY, OTHER]


def add(client: Client, data: bytes | None = None, key: str = KEY, **fields: str) -> Response:
    file = io.BytesIO(picture() if data is None else data)
    file.name = "../picture.png"
    headers = {"Authorization": f"Bearer {key}"}
    return client.post("/api/images", {"image": file, **fields}, headers=headers)


def change(client: Client, id_: uuid.UUID, fields: dict[str, Any], key: str = KEY) -> Response:
    headers = {"Authorization": f"Bearer {key}"}
    return client.patch(f"/api/images/{id_}", fields, "application/json", headers=headers)


def delete(client: Client, id_: uuid.UUID, key: str = KEY) -> Response:
    return client.delete(f"/api/images/{id_}", headers={"Authorization": f"Bearer {key}"})


def test_a_picture_comes_in_and_the_workers_are_woken(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks() as result:
        response = add(client, label="cat", title="Tom")
    image = Image.objects.get()
    assert response.status_code == 201
    assert response.json()["id"] == str(image.pk)
    assert (image.label, image.title, image.is_hidden, image.is_pending) == ("cat", "Tom", False, True)
    assert files_kept() == [image.upload_file.path]
    assert len(result) == 1


def test_a_picture_is_there_when_it_is_decoded(client: Client) -> None:
    added = add(client).json()
    assert client.get("/api/images").json()["count"] == 0
    assert [client.get(added[name]).status_code for name in ("url", "thumbnail_url")] == [404, 404]
    assert client.get(f"/api/images/{added['id']}").status_code == 404
    assert importing.decode_pending(10) == 1
    assert client.get(f"/api/images/{added['id']}").json() == added
    image = Image.objects.get()
    assert (image.width_px, image.height_px) == (48, 32)
    assert files_kept() == sorted([image.picture_file.path, image.thumbnail_file.path])
    assert importing.decode_pending(10) == 0


def test_a_damaged_picture_stays_unseen_and_says_why(client: Client) -> None:
    added = add(client, picture()[:300])
    assert added.status_code == 201
    assert [importing.decode_pending(10) for _ in range(2)] == [1, 0]
    assert "is in the file" in Image.objects.get().problem
    assert client.get(f"/api/images/{added.json()['id']}").status_code == 404
    assert files_kept() == []


def test_a_picture_that_another_worker_decodes_first_is_no_problem(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client)
    reencode = pictures.reencode

    def after_the_other_worker(source: Any) -> Any:
        monkeypatch.undo()
        assert importing.decode_pending(10) == 1
        return reencode(source)

    monkeypatch.setattr(importing, "reencode", after_the_other_worker)
    assert importing.decode_pending(10) == 1
    image = Image.objects.get()
    assert (image.problem, image.is_pending) == ("", False)
    assert files_kept() == sorted([image.picture_file.path, image.thumbnail_file.path])


def test_two_workers_share_the_pictures(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        assert add(client, picture(seed=number)).status_code == 201
    reencode = pictures.reencode

    def beside_the_other_worker(source: Any) -> Any:
        monkeypatch.undo()
        importing.decode_pending(5)
        return reencode(source)

    monkeypatch.setattr(importing, "reencode", beside_the_other_worker)
    importing.decode_pending(5)
    assert Image.objects.filter(is_pending=False, problem="").count() > 5


def test_a_picture_deleted_before_it_is_decoded_leaves_nothing(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    added = add(client).json()
    with django_capture_on_commit_callbacks(execute=True):
        delete(client, added["id"])
    assert importing.decode_pending(10) == 0
    assert files_kept() == []


def test_the_same_file_again_is_the_same_picture(client: Client) -> None:
    first, again = add(client, title="first"), add(client, title="again")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


@pytest.mark.parametrize(("data", "status", "code"), [(b"", 422, "empty"), (b"no picture", 415, "unsupported_format")])
def test_what_is_no_picture_is_refused(client: Client, data: bytes, status: int, code: str) -> None:
    response = add(client, data)
    assert (response.status_code, error_code(response)) == (status, code)
    assert not Image.objects.exists()


@pytest.mark.parametrize("fields", [{"label": "x" * 101}, {"title": "x" * 201}, {"title": "a\0b"}])
def test_texts_that_do_not_fit_are_refused(client: Client, fields: dict[str, str]) -> None:
    image = add_image()
    for response in (add(client, picture(2), **fields), change(client, image.pk, fields)):
        assert (response.status_code, error_code(response)) == (422, "invalid")


@pytest.mark.parametrize("body", ["null", "[null]", "[]", "5", '"hidden"', "true", '[{"label": "dog"}]', ""])
def test_a_change_that_is_no_object_is_refused(client: Client, body: str) -> None:
    address = f"/api/images/{add_image(label='cat').pk}"
    response = client.patch(address, body, "application/json", headers={"Authorization": f"Bearer {KEY}"})
    assert (response.status_code, error_code(response)) == (422, "invalid")


def test_a_picture_is_labelled_hidden_and_shown_again(client: Client) -> None:
    image = add_image(label="cat", title="Tom")
    assert change(client, image.pk, {"label": "dog"}).json()["label"] == "dog"
    assert client.get(f"/api/images/{image.pk}").json()["title"] == "Tom"
    assert change(client, image.pk, {"is_hidden": True}).status_code == 200
    assert client.get(f"/api/images/{image.pk}").status_code == 404
    assert change(client, image.pk, {"is_hidden": False}).status_code == 200
    assert client.get(f"/api/images/{image.pk}").status_code == 200
    assert change(client, image.pk, {}).json()["label"] == "dog"


def test_a_deleted_picture_is_gone_with_its_files(
    client: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    image = add_image()
    with django_capture_on_commit_callbacks(execute=True):
        assert delete(client, image.pk).status_code == 204
    assert not Image.objects.exists()
    assert files_kept() == []
    assert (delete(client, image.pk).status_code, change(client, image.pk, {}).status_code) == (404, 404)


@pytest.mark.parametrize("key", ["", "wrong", f"{KEY}s", KEY.upper(), "ü"])
def test_without_a_key_nothing_happens(client: Client, key: str) -> None:
    image = add_image()
    before = files_kept()
    refused = [add(client, picture(2), key), change(client, image.pk, {"title": "mine"}, key)]
    for response in (*refused, delete(client, image.pk, key)):
        assert (response.status_code, error_code(response)) == (401, "unauthorized")
        assert response["WWW-Authenticate"] == 'Bearer realm="gallery"'
    assert [row.title for row in Image.objects.all()] == [""]
    assert files_kept() == before


def test_each_key_counts_and_where_there_is_none_no_token_is_valid(client: Client, settings: Settings) -> None:
    assert add(client, key=OTHER).status_code == 201
    settings.SIMSEARCH_API_KEYS = []
    for key in (KEY, ""):
        assert add(client, picture(2), key).status_code == 401


def test_the_keys_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY},{OTHER}\n")
    script = "from django.conf import settings; from simsearch import celery; print(*settings.SIMSEARCH_API_KEYS)"
    assert fresh.run(script, tmp_path, SIMSEARCH_API_KEYS_FILE=str(tmp_path / "keys")) == f"{KEY} {OTHER}\n"
