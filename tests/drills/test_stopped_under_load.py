"""SIGTERM for everything while uploads come in, and a start afterwards: in time, and nothing is lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.drills.searching import LONG, InBackground
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.local.starter import left_running
from tests.stack import Stack

PROMISED_S = 25
STOPS = 12 if LONG else 1
LOADED_S = 3.0
ASKERS, PACE_S = 4, 0.2  # 20 uploads a second
PATIENCE_S = 60


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("loaded"), SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
        yield running


def tell_the_parent(stack: Stack) -> None:
    """As Ctrl-C, systemd and Docker do."""
    stack.process.send_signal(signal.SIGTERM)


def tell_every_process(stack: Stack) -> None:
    """As a machine that is shut down does: the children of the workers and Redis, too."""
    for pid in stack.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


@pytest.mark.timeout(STOPS * 120)
@pytest.mark.parametrize("tell", [tell_the_parent, tell_every_process])
def test_a_stop_under_load_is_quick_and_loses_nothing(loaded: Stack, tell: Callable[[Stack], None]) -> None:
    took_s: list[float] = []
    for _ in range(STOPS):
        uploads = Uploads(loaded)
        with InBackground(uploads.ask, ASKERS, PACE_S):
            time.sleep(LOADED_S)
            began = time.monotonic()
            tell(loaded)
            loaded.process.wait(3 * PROMISED_S)
            took_s.append(time.monotonic() - began)
        assert left_running(loaded.data_dir) == []
        assert uploads.ids
        assert [result for result in uploads.statuses if isinstance(result, int) and result not in {202, 503}] == []
        loaded.start()
        loaded.wait_ready()
        assert_all_are_answered(loaded, uploads.ids, PATIENCE_S)
        print(f"stopped in {took_s[-1]:.1f} s; uploads: {dict(uploads.statuses)}")
    attempts = loaded.rows("SELECT attempts, count(*) FROM gallery_query GROUP BY attempts ORDER BY attempts")
    print(f"attempts: {attempts}")
    assert max(took_s) < PROMISED_S, took_s
