"""The whole system with its pictures on an S3 server: no file of a picture is left on the disk."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests import demo
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.s3 import S3Server
from tests.stack import Stack

UPLOADS, THREADS, PATIENCE_S = 60, 8, 120


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture(scope="module")
def on_s3(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("s3")
    demo.write_gallery(directory / "photos")  # imported by this system, not copied from another one's disk
    with Stack(directory, directory / "photos", None, **server.environment) as running:
        yield running


def kept_files(stack: Stack) -> list[Path]:
    folders = (stack.data_dir / "pictures", stack.data_dir / "uploads")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_uploads_are_answered_from_the_bucket(on_s3: Stack, server: S3Server) -> None:
    uploads = Uploads(on_s3)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(uploads.ask, range(UPLOADS)))
    assert dict(uploads.statuses) == {202: UPLOADS}
    assert_all_are_answered(on_s3, uploads.ids, PATIENCE_S)
    assert {f"pictures/queries/{id_[:2]}/{id_}.jpg" for id_ in uploads.ids} <= server.names()
    assert {key.partition("/")[0] for key in server.names()} == {"pictures", "index"}  # no uploads left
    assert kept_files(on_s3) == []


def test_a_visitor_sees_the_picture_by_its_link(on_s3: Stack) -> None:
    image = on_s3.client.get("/api/images").json()["images"][0]
    answer = on_s3.client.get(image["thumbnail_url"])
    assert answer.status_code == 302
    shown = httpx.get(answer.headers["Location"])
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")
    page = on_s3.client.get("/gallery/")
    assert httpx.URL(answer.headers["Location"]).netloc.decode() in page.headers["Content-Security-Policy"]


def test_no_upload_is_lost_when_the_server_is_away_for_a_while(on_s3: Stack, server: S3Server) -> None:
    uploads = Uploads(on_s3)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(uploads.ask, range(UPLOADS)))
        server.pause()  # some wait for their batch, some are in it
        try:
            list(threads.map(uploads.ask, range(THREADS)))
        finally:
            server.go_on()
    assert dict(uploads.statuses) == {202: UPLOADS, 503: THREADS}
    assert_all_are_answered(on_s3, uploads.ids, PATIENCE_S)
