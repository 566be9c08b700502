"""A disk of the running system fills up: what cannot be kept is refused clearly, and no row and no file is alone."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import demo
from tests.demo import jpegs
from tests.drills.disks import fill, small_disk
from tests.drills.searching import wait_until
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.stack import Stack

DISK_MB = 24
ROOM_BYTES = 200_000  # for some uploads
UPLOADS, ASKERS = 40, 8
PATIENCE_S = 60


@dataclass
class Disks:
    """Each of these is a small disk of its own."""

    pictures: Path
    uploads: Path
    index: Path
    redis: Path
    temporary: Path


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    data = tmp_path_factory.mktemp("cramped") / "data"
    with ExitStack() as mounted:
        made = {}
        for name in ("pictures", "uploads", "index", "redis", "temporary"):
            (data / name).mkdir(parents=True)
            made[name] = mounted.enter_context(small_disk(data / name, DISK_MB))
        yield Disks(**made)


@pytest.fixture(scope="module")
def cramped(disks: Disks) -> Iterator[Stack]:
    directory = disks.pictures.parent.parent
    with Stack(directory, TMPDIR=str(disks.temporary), SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
        yield running


def upload_many(stack: Stack) -> Uploads:
    uploads = Uploads(stack)
    with ThreadPoolExecutor(ASKERS) as askers:
        list(askers.map(uploads.ask, range(UPLOADS)))
    print(f"uploads: {dict(uploads.statuses)}")
    return uploads


def assert_no_row_and_no_file_is_alone(stack: Stack) -> None:
    folders = {
        "gallery_query": [["pictures/queries", "uploads/queries"]],  # one of them has it
        "gallery_image": [["pictures/gallery"], ["pictures/thumbnails"]],
    }
    for table, kinds in folders.items():
        rows = {str(id_).replace("-", "") for (id_,) in stack.rows("SELECT id FROM " + table)}
        for kind in kinds:
            files = {path.name for folder in kind for path in (stack.data_dir / folder).rglob("*") if path.is_file()}
            assert {name.removesuffix(".jpg").replace("-", "") for name in files} == rows, kind


def test_uploads_that_find_no_room_are_refused(cramped: Stack, disks: Disks) -> None:
    filler = fill(disks.uploads)
    uploads = upload_many(cramped)
    assert set(uploads.statuses) == {507}
    refused = cramped.ask(uploads.pictures[0])
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "no_space")
    assert "no room" in refused.json()["error"]["message"]
    filler.unlink()
    assert set(upload_many(cramped).statuses) == {202}


def test_pictures_that_find_no_room_cost_no_answer(cramped: Stack, disks: Disks) -> None:
    filler = fill(disks.pictures, but_bytes=ROOM_BYTES)
    uploads = upload_many(cramped)
    assert set(uploads.statuses) == {202}
    assert_all_are_answered(cramped, uploads.ids, PATIENCE_S)
    assert_no_row_and_no_file_is_alone(cramped)

    folder = cramped.directory / "more" / "late"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(demo.jpeg("balloon", 4000 + number))
    imported = cramped.manage("import_images", str(folder.parent))
    assert imported.returncode == 1
    assert "The disk is full" in imported.stderr
    assert "Traceback" not in imported.stderr
    assert_no_row_and_no_file_is_alone(cramped)

    filler.unlink()
    assert set(upload_many(cramped).statuses) == {202}
    assert cramped.manage("import_images", str(folder.parent)).returncode == 0
    assert_no_row_and_no_file_is_alone(cramped)


def test_without_room_for_an_index_the_old_one_goes_on(cramped: Stack, disks: Disks) -> None:
    before = cramped.client.get("/readyz").json()["checks"]["index"]
    filler = fill(disks.index)
    built = cramped.manage("build_index")
    assert built.returncode == 1
    assert "No space left on device" in built.stderr
    assert "Traceback" not in built.stderr
    assert set(upload_many(cramped).statuses) == {202}
    assert cramped.client.get("/readyz").json()["checks"]["index"] == before
    filler.unlink()
    built = cramped.manage("build_index")
    assert built.returncode == 0, built.stderr


@pytest.mark.timeout(300)
def test_uploads_are_kept_while_redis_has_no_room(cramped: Stack, disks: Disks) -> None:
    filler = fill(disks.redis)
    uploads = upload_many(cramped)
    time.sleep(5)
    uploads.ask(0)
    assert set(uploads.statuses) == {202}
    wait_until(lambda: cramped.client.get("/readyz").status_code == 503, cramped, PATIENCE_S)
    filler.unlink()
    wait_until(lambda: cramped.client.get("/readyz").status_code == 200, cramped, PATIENCE_S)
    assert_all_are_answered(cramped, uploads.ids, PATIENCE_S)
    assert_no_row_and_no_file_is_alone(cramped)


def test_uploads_need_no_temporary_folder(cramped: Stack, disks: Disks) -> None:
    filler = fill(disks.temporary)
    uploads = upload_many(cramped)
    assert set(uploads.statuses) == {202}
    assert_all_are_answered(cramped, uploads.ids, PATIENCE_S)
    assert [path for path in disks.temporary.rglob("*") if path.is_file()] == [filler]
    filler.unlink()


def test_pages_say_it_too(cramped: Stack, disks: Disks) -> None:
    home = cramped.client.get("/")
    filler = fill(disks.uploads)
    form = {"csrfmiddlewaretoken": cramped.client.cookies["csrftoken"]}
    refused = cramped.client.post("/", data=form, files={"image": ("picture.jpg", jpegs(1)[0])})
    filler.unlink()
    assert (home.status_code, refused.status_code) == (200, 507)
    assert "no room" in refused.text
