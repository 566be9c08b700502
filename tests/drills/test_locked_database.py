"""Somebody holds the database for 10 s while uploads come in: they wait, and each is answered."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.drills.locking import locked_database
from tests.drills.searching import wait_until
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.stack import Stack

UPLOADS = 100
ASKERS = 24  # more than gunicorn has threads
LOCKED_S = 10
MOST_REFUSED = UPLOADS // 100
PATIENCE_S = 60


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("held"), SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
        yield running


@pytest.mark.timeout(300)
def test_uploads_wait_for_a_locked_database(held: Stack) -> None:
    uploads = Uploads(held)
    with ThreadPoolExecutor(ASKERS) as askers:
        queries = [askers.submit(uploads.ask, number) for number in range(UPLOADS)]
        wait_until(lambda: len(uploads.ids) >= UPLOADS * 0.3, held, PATIENCE_S)
        with locked_database(held):
            before = len(uploads.ids)
            time.sleep(LOCKED_S)
            accepted_meanwhile = len(uploads.ids) - before
        for one in queries:
            one.result()
    print(f"uploads: {dict(uploads.statuses)}; {accepted_meanwhile} of them while it was locked")
    assert accepted_meanwhile <= ASKERS  # the lock held
    assert set(uploads.statuses) <= {202, 503}
    assert uploads.statuses.total() == UPLOADS
    assert uploads.statuses[503] <= MOST_REFUSED
    assert_all_are_answered(held, uploads.ids, PATIENCE_S)
    print(f"attempts: {held.rows('SELECT attempts, count(*) FROM gallery_query GROUP BY attempts ORDER BY attempts')}")
