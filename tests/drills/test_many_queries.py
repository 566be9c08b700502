"""Thousands of queries in a row: once it is warm the system takes no more memory, files or room in Redis."""

import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import demo
from tests.drills.footprint import Footprint, footprint
from tests.drills.searching import LONG, InBackground, wait_until
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.stack import Stack

QUERIES = 20_000 if LONG else 1_500
LOOKS = 10
ASKERS = 12
WATCHED = 4  # one in so many is watched to its end by its visitor
SMALL_PX = 96
PATIENCE_S = 120
# Of all processes of a kind. 2 KB for each query of the long drill; the short one ends while torch still warms up.
MOST_GROWN_MB = 24 if LONG else 40
OPENED_BY_THREADS = 16  # a thread of gunicorn's opens the database, and Redis, with its first question


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def busy(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(
        tmp_path_factory.mktemp("busy"), TMPDIR=str(temporary), SIMSEARCH_UPLOADS_PER_MINUTE="1000000"
    ) as running:
        yield running


def small_pictures() -> list[bytes]:
    files = []
    for number, kind in enumerate(demo.KINDS):
        picture = demo.picture(kind, 500 + number)
        picture.thumbnail((SMALL_PX, SMALL_PX))
        picture.save(file := io.BytesIO(), "JPEG")
        files.append(file.getvalue())
    return files


def let_the_gallery_worker_begin(stack: Stack) -> None:
    """Leave out the workers that load the model while others search: what it takes is no growth."""
    picture = stack.directory / "added" / "late.jpg"
    picture.parent.mkdir()
    demo.picture(demo.KINDS[0], 999).save(picture)
    stack.manage("import_images", str(picture.parent)).check_returncode()
    not_embedded = "SELECT id FROM gallery_image WHERE content_hash NOT IN (SELECT content_hash FROM gallery_embedding)"
    wait_until(lambda: not stack.rows(not_embedded), stack, PATIENCE_S)


class Visitors(Uploads):
    """They upload until there are enough queries; some look at the page of theirs, and wait for its end."""

    def visit(self, turn: int) -> None:
        if len(self.ids) >= QUERIES:
            time.sleep(0.1)
            return
        self.ask(turn)
        if turn % WATCHED == 0:
            id_ = self.ids[-1]
            assert self.stack.client.get(f"/q/{id_}").status_code == 200
            self.stack.answer(id_, PATIENCE_S)


def assert_flat(warm: Footprint, last: Footprint) -> None:
    """Leave out what came with the second half of the queries is noise: a page here, a batch of another size there."""
    assert last.memory_mb.keys() == warm.memory_mb.keys()
    assert min(warm.memory_mb.values()) > 0
    grown_mb = {kind: last.memory_mb[kind] - mb for kind, mb in warm.memory_mb.items()}
    print("grown in the second half, in MB: " + ", ".join(f"{kind} {mb:.1f}" for kind, mb in grown_mb.items()))
    assert {kind: mb for kind, mb in grown_mb.items() if mb > MOST_GROWN_MB} == {}
    more_files = {kind: last.open_files[kind] - count for kind, count in warm.open_files.items()}
    most = {"web": OPENED_BY_THREADS, "redis": 2 + max(0, more_files["web"])}  # each has an end of their connections
    assert {kind: count for kind, count in more_files.items() if count > most.get(kind, 2)} == {}
    assert last.redis_mb < warm.redis_mb + 1
    assert last.redis_keys < warm.redis_keys + 5
    assert last.temporary_files <= ASKERS  # those under way


@pytest.mark.timeout(900)
def test_nothing_grows_with_the_number_of_queries(
    busy: Stack, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # not a line for each request
    visitors = Visitors(busy, small_pictures())
    seen: list[Footprint] = []
    let_the_gallery_worker_begin(busy)
    began = time.monotonic()
    with InBackground(visitors.visit, ASKERS, pace_s=0):
        for look in range(1, LOOKS + 1):
            wait_until(lambda: len(visitors.ids) >= look * QUERIES // LOOKS, busy, 1000)  # noqa: B023 (called at once)
            seen.append(footprint(busy, temporary))
            assert busy.client.get("/readyz").status_code == 200, busy.client.get("/readyz").text
            print(f"{len(visitors.ids):6} queries, {time.monotonic() - began:4.0f} s; {seen[-1]}", flush=True)
    assert set(visitors.statuses) == {202}
    assert_flat(seen[LOOKS // 2 - 1], seen[-1])
    assert_all_are_answered(busy, visitors.ids, PATIENCE_S)
