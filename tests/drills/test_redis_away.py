"""Redis dies, forgets everything, refuses, says nothing: what was accepted is answered all the same."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from tests.demo import jpegs
from tests.deployment.outside import Redis
from tests.drills.relay import Mode, Relay
from tests.drills.searching import LONG, wait_until
from tests.drills.test_killed_workers import kill
from tests.drills.uploads import Uploads, assert_all_are_answered
from tests.stack import Stack

UPLOADS, AWAY_S = (500, 10) if LONG else (100, 3)
PEOPLE = 8
POST_S = 3  # promised, and twice what a silent Redis costs
PATIENCE_S = 60
CURED_S = 30
UNFINISHED = "SELECT count(*) FROM gallery_query WHERE state <> 'done'"


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Provide a redis-server that only the drill starts again."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def relay(mortal: Redis) -> Iterator[Relay]:
    with Relay(mortal.port) as relay:
        yield relay


@pytest.fixture(scope="module")
def relayed(mortal: Redis, relay: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system that reaches its Redis through the relay."""
    url = mortal.url.replace(f":{mortal.port}/", f":{relay.port}/")
    with Stack(tmp_path_factory.mktemp("relayed"), REDIS_URL=url, SIMSEARCH_UPLOADS_PER_MINUTE="1000000") as running:
        yield running


class Crowd:
    """So many uploads at once, as quickly as they are taken."""

    def __init__(self, stack: Stack, people: ThreadPoolExecutor) -> None:
        self.uploads = Uploads(stack)
        self._asked = [people.submit(self.uploads.ask, turn) for turn in range(UPLOADS)]

    def reach(self, share: float) -> None:
        """Wait until that share of the uploads is accepted."""
        wait_until(lambda: len(self.uploads.ids) >= share * UPLOADS, self.uploads.stack, PATIENCE_S)


def finished(stack: Stack) -> int:
    return int(stack.rows("SELECT count(*) FROM gallery_query WHERE state = 'done'")[0][0])


def test_uploads_survive_a_killed_redis(relayed: Stack, mortal: Redis) -> None:
    with ThreadPoolExecutor(PEOPLE) as people:
        crowd = Crowd(relayed, people)
        crowd.reach(0.3)
        mortal.process.kill()
        mortal.process.wait()
        time.sleep(AWAY_S)
        crowd.uploads.ask(UPLOADS)  # after the last task of the workers, which goes on while anything waits
        before = finished(relayed)
        mortal.start()
        back_at = time.monotonic()
        wait_until(lambda: finished(relayed) > before, relayed, CURED_S)
        busy_s = time.monotonic() - back_at
    assert crowd.uploads.statuses == {202: UPLOADS + 1}
    assert_all_are_answered(relayed, crowd.uploads.ids, PATIENCE_S)
    done_s = time.monotonic() - back_at
    print(f"{UPLOADS} uploads, {UPLOADS - before} waited: busy after {busy_s:.1f} s, all done after {done_s:.1f} s")


def test_uploads_survive_a_redis_that_forgets_everything(relayed: Stack, mortal: Redis) -> None:
    with ThreadPoolExecutor(PEOPLE) as people, redis.Redis.from_url(mortal.url) as client:
        crowd = Crowd(relayed, people)
        crowd.reach(0.5)
        client.flushall()
        forgotten_at = time.monotonic()
    assert crowd.uploads.statuses == {202: UPLOADS}
    assert_all_are_answered(relayed, crowd.uploads.ids, PATIENCE_S)
    print(f"{UPLOADS} uploads done {time.monotonic() - forgotten_at:.1f} s after FLUSHALL")


@pytest.mark.parametrize("mode", ["refuse", "silent"])
def test_uploads_are_accepted_while_redis_is_away(relayed: Stack, relay: Relay, mode: Mode) -> None:
    picture = jpegs(1)[0]
    answers: list[httpx.Response] = []
    relay.switch(mode)
    try:
        ends_at = time.monotonic() + AWAY_S
        while time.monotonic() < ends_at:
            answers.append(relayed.ask(picture))
            time.sleep(0.2)
    finally:
        relay.switch("forward")
    cured_at = time.monotonic()
    slowest_s = max(answer.elapsed.total_seconds() for answer in answers)
    assert {answer.status_code for answer in answers} == {202}
    assert slowest_s < POST_S
    assert_all_are_answered(relayed, [answer.json()["id"] for answer in answers], CURED_S)
    done_s = time.monotonic() - cured_at
    relayed.wait_ready(PATIENCE_S)
    ready_s = time.monotonic() - cured_at
    print(
        f"{mode}: {len(answers)} uploads, at most {slowest_s:.2f} s; done {done_s:.1f} s, ready {ready_s:.1f} s after"
    )


def test_an_upload_whose_web_process_dies_before_a_worker_is_woken_is_found(relayed: Stack, relay: Relay) -> None:
    refused: list[httpx.TransportError] = []

    def ask() -> None:
        try:
            relayed.ask(jpegs(1)[0])
        except httpx.TransportError as error:
            refused.append(error)

    asker = threading.Thread(target=ask)
    relay.switch("silent")  # so that the message takes its time
    try:
        asker.start()
        wait_until(lambda: relayed.rows(UNFINISHED) == [(1,)], relayed, PATIENCE_S)  # the row is committed
        kill(relayed, relayed.pids("gunicorn"))
        asker.join()
    finally:
        relay.switch("forward")
    cured_at = time.monotonic()
    assert refused  # nobody was woken
    assert_all_are_answered(relayed, [], CURED_S)
    print(f"done {time.monotonic() - cured_at:.1f} s after the web process was killed")
    relayed.wait_ready(PATIENCE_S)
