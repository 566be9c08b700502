"""One small disk for everything that is kept, as most machines have it: full under uploads, then with room again."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.demo import jpegs
from tests.drills.disks import small_disk
from tests.drills.searching import LONG, InBackground, wait_until
from tests.drills.test_faults_show_in_time import looks
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.stack import Stack

DISK_MB = 160
FULL_S = 60 if LONG else 20
ROOM_EVERY, ROOM_BYTES = 20, 2**17  # every two seconds, some of it
PROMISED_S = 15
PATIENCE_S = 60
PROGRAMS = ("launch.supervisord", "--queues search", "--queues gallery", "bin/gunicorn", "launch.flower")
PICTURES = 8
ADMIN = {"username": "curator", "password": "correct horse battery"}


@pytest.fixture(scope="module")
def one_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system whose database, pictures, Redis, logs and temporary folder share a small disk."""
    directory = tmp_path_factory.mktemp("one-disk")
    (directory / "data").mkdir()
    with small_disk(directory / "data", DISK_MB) as disk:
        (disk / "tmp").mkdir()
        with Stack(directory, TMPDIR=str(disk / "tmp"), SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
            yield running


@contextmanager
def full(stack: Stack) -> Iterator[None]:
    """Fill the disk to the last byte, but for a little room now and then, as expired queries and old logs leave it."""
    path = stack.data_dir / "filler"
    with path.open("wb", buffering=0) as filler:

        def fill(turn: int) -> None:
            if turn % ROOM_EVERY == ROOM_EVERY - 1:
                filler.truncate(filler.seek(0, os.SEEK_END) - ROOM_BYTES)
                return
            filler.seek(0, os.SEEK_END)
            for size in (2**20, 4096, 1):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))

        fill(0)
        with InBackground(fill, threads=1, pace_s=0.1):
            yield
    path.unlink()


@pytest.mark.timeout(400)
def test_everything_goes_on_and_recovers_by_itself(one_disk: Stack) -> None:
    made = one_disk.manage(
        "shell", "-c", f"from django.contrib.auth.models import User as U; U.objects.create_superuser(**{ADMIN})"
    )
    assert made.returncode == 0, made.stderr
    uploads, seen = Uploads(one_disk, jpegs(PICTURES)), Counter[str]()
    for turn in range(PICTURES):
        uploads.ask(turn)
    assert_all_are_answered(one_disk, uploads.ids, PATIENCE_S)
    parents = {words: min(one_disk.pids(words)) for words in PROGRAMS}

    with InBackground(uploads.ask, threads=4, pace_s=0.1):
        time.sleep(2)  # there are always some that wait when the disk is full
        with full(one_disk):
            time.sleep(0.2)
            uploads.statuses.clear()
            deadline = time.monotonic() + FULL_S
            while time.monotonic() < deadline:
                look_around(one_disk, uploads.ids[0], seen)
                time.sleep(0.2)
            result = dict(uploads.statuses)
        freed = time.monotonic()
        wait_until(lambda: looks(one_disk) == (True, True), one_disk, PROMISED_S)
    print(f"uploads: {result}; pages: {dict(seen)}; green after {time.monotonic() - freed:.1f} s")
    assert_all_are_answered(one_disk, uploads.ids, PATIENCE_S)
    assert set(result) == {507}
    assert not [line for line in seen if line.endswith("500")]
    assert {words: min(one_disk.pids(words)) for words in PROGRAMS} == parents
    assert sign_in(one_disk) == 302
    assert_logs_go_on(one_disk)


def look_around(stack: Stack, query: str, seen: Counter[str]) -> None:
    """Read every kind of page, which must be there, and sign in, which may be refused."""
    for path in (
        "/",
        "/gallery/",
        f"/q/{query}",
        f"/q/{query}/picture.jpg",
        f"/api/queries/{query}",
        "/api/images",
        "/healthz",
    ):
        status = stack.client.get(path).status_code
        assert status == 200, (path, status)
        seen[f"{path.replace(query, '<id>')} {status}"] += 1
    seen[f"sign in {sign_in(stack)}"] += 1


def sign_in(stack: Stack) -> int:
    """Return the status of the answer to the right password."""
    with httpx.Client(base_url=stack.url, timeout=30) as visitor:
        visitor.get("/admin/login/")
        form = ADMIN | {"csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
        return visitor.post("/admin/login/", data=form).status_code


def assert_logs_go_on(stack: Stack) -> None:
    """Lines were lost while there was no room; those that come now are kept."""
    log = stack.data_dir / "logs" / "web.log"
    size = log.stat().st_size
    stack.client.get("/gallery/")
    wait_until(lambda: log.stat().st_size > size, stack, PROMISED_S)
