"""Everybody comes at once, through nginx: some are accepted soon and answered, all others are told soon to come again.

SIMSEARCH_LONG_DRILLS=1 makes it the thousand uploads and thousand who look that the project promises.
"""

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from bench.crowd import Crowd, gather
from bench.load import Visitor
from tests.deployment.server import Server
from tests.drills.searching import LONG
from tests.drills.test_way_of_a_query import some

UPLOADERS = LOOKERS = 1000 if LONG else 200
SETTLED_S = 3.0  # those who look are there first: it is they who take the time
UPLOADS_AT_ONCE, POLLS_AT_ONCE = 512, 32  # what nginx lets through, by default
MORE = 20
PATIENCE_S = 60

pytestmark = pytest.mark.timeout(900)  # a crowd, on a machine that may be busy


def visitor_of_his_own(number: int) -> Mapping[str, str]:
    address = f"198.18.{number // 250}.{1 + number % 250}"
    return {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}


def test_a_crowd_is_answered_or_told_when_to_come_again(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(log(server))
    crowd = gather(server.nginx.port, some(16), UPLOADERS, LOOKERS, visitor_of_his_own, SETTLED_S)
    with capsys.disabled():
        print(told(crowd), times("; accepted by nginx's clock", accepted_by_nginx_s(log(server)[before:])))
    assert crowd.errors == [], server.output()
    assert set(crowd.uploads) <= {202, 429, 503}
    assert crowd.uploads.total() == UPLOADERS
    assert crowd.uploads[202] > 0
    assert {(code, retry_after_s is None) for _, code, retry_after_s in crowd.refusals} <= {("busy", False)}
    assert set(crowd.polls) <= {200, 503}
    assert crowd.ended == {"done": crowd.uploads[202]}


def told(crowd: Crowd) -> str:
    return (
        f"\nuploads {dict(crowd.uploads)}{times(', accepted', crowd.accepted_s)}{times(', refused', crowd.refused_s)}; "
        f"looks {dict(crowd.polls)}{times(', each', crowd.looked_s)}"
    )


def times(name: str, times_s: list[float]) -> str:
    return f"{name} p50 {np.median(times_s):.2f} s, p95 {np.percentile(times_s, 95):.2f} s" if times_s else ""


def accepted_by_nginx_s(lines: list[str]) -> list[float]:
    """From the first byte that nginx read: a thousand threads of one process come late to send theirs."""
    return [float(line.rpartition(" ")[2]) for line in lines if '"POST /api/queries" 202' in line]


def log(server: Server) -> list[str]:
    return (server.directory / "nginx" / "access.log").read_text().splitlines()


def test_uploads_without_room_are_refused_at_once_and_the_others_wait_for_the_site(server: Server) -> None:
    picture = some(1)[0]
    with held(server), ThreadPoolExecutor(UPLOADS_AT_ONCE + MORE) as threads:
        visits = [threads.submit(visit, server, n, picture) for n in range(UPLOADS_AT_ONCE + MORE)]
        refused = [future.result() for future in itertools.islice(as_completed(visits, PATIENCE_S), MORE)]
        time.sleep(1.0)
        assert sum(future.done() for future in visits) == MORE
        release(server)
        answers = [future.result() for future in visits]
    assert {(status, told["error"]["code"], retry_after_s) for status, told, retry_after_s in refused} == {
        (503, "busy", 5)
    }
    assert {status for status, _, _ in answers} <= {202, 503}
    accepted = [told["id"] for status, told, _ in answers if status == 202]
    assert accepted
    assert {server.answer(query)["state"] for query in accepted} == {"done"}


def test_looks_without_room_are_refused_at_once_and_no_log_has_their_link(server: Server) -> None:
    _, told, _ = visit(server, 0, some(1)[0])
    query = told["id"]
    with held(server), ThreadPoolExecutor(POLLS_AT_ONCE + MORE) as threads:
        visits = [threads.submit(visit, server, n, look_at=query) for n in range(POLLS_AT_ONCE + MORE)]
        refused = [future.result() for future in itertools.islice(as_completed(visits, PATIENCE_S), MORE)]
        page = server.visitor().get(f"/q/{query}", headers={"HX-Request": "true"})
        release(server)
        answers = [future.result() for future in visits]
    assert {(status, told["error"]["code"], retry_after_s) for status, told, retry_after_s in refused} == {
        (503, "busy", 2)
    }
    assert (page.status_code, page.headers["Retry-After"]) == (503, "2")
    assert Counter(status for status, _, _ in answers) == {200: POLLS_AT_ONCE, 503: MORE}
    logs = [server.directory / "nginx" / name for name in ("access.log", "error.log")]
    assert not any(query in log.read_text() for log in logs)


Answered = tuple[int, dict[str, Any], int | None]  # status, what was said, Retry-After


def visit(server: Server, number: int, picture: bytes = b"", look_at: str = "") -> Answered:
    with Visitor(server.nginx.port, visitor_of_his_own(number)) as visitor:
        answer = visitor.get(f"/api/queries/{look_at}") if look_at else visitor.post("/api/queries", picture)
        return *answer, visitor.retry_after_s


@contextmanager
def held(server: Server) -> Iterator[None]:
    """The site does nothing, and neither refuses nor loses a connection, until the end of the block or `release`."""
    signal_all(server, signal.SIGSTOP)
    try:
        yield
    finally:
        release(server)


def release(server: Server) -> None:
    signal_all(server, signal.SIGCONT)


def signal_all(server: Server, number: signal.Signals) -> None:
    for pid in server.pids("bin/gunicorn"):
        os.kill(pid, number)
