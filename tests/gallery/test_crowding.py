"""Refusing uploads that came with too many others: by the time that they waited, not by their number."""

import heapq
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from gallery.crowding import GRACE_S, LATE_S, LATEST_S, SOONEST_S, STANDING_S, Queue, waited_s
from gallery.models import Query
from tests.api.answers import Response
from tests.gallery.elements import alert
from tests.gallery.rows import picture

PATIENCE_S = 30


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue:
    """Of a process that has caught up."""
    queue = Queue(clock)
    queue.begin(0.0)
    return queue


def uploads(queue: Queue, clock: Clock, waits_s: list[float], every_s: float) -> list[bool]:
    """Which of these are refused, begun one after the other."""
    refused = []
    for wait_s in waits_s:
        clock.now += every_s
        queue.begin(wait_s)
        refused.append(queue.is_standing(wait_s))
    return refused


def test_a_queue_that_does_not_go_away_is_shortened(queue: Queue, clock: Clock) -> None:
    refused = uploads(queue, clock, [LATE_S + 0.1] * 30, STANDING_S / 10)
    assert refused[:10] == [False] * 10
    assert all(refused[12:])


def test_a_burst_is_accepted_for_as_long_as_both_limits_together(queue: Queue, clock: Clock) -> None:
    waits_s = [n / 100 for n in range(500)]  # all came at once, a hundred are taken each second
    refused = uploads(queue, clock, waits_s, 0.01)
    assert max(wait for wait, is_refused in zip(waits_s, refused, strict=True) if not is_refused) == pytest.approx(
        LATE_S + STANDING_S, abs=0.05
    )
    assert refused == sorted(refused)


def test_a_stall_refuses_nobody(queue: Queue, clock: Clock) -> None:
    clock.now += 5
    waits_s = [5 - n / 4 for n in range(20)]  # they came during the stall, and are quickly taken after it
    assert not any(uploads(queue, clock, waits_s, STANDING_S / 25))


def test_one_that_need_not_wait_ends_it(queue: Queue, clock: Clock) -> None:
    assert any(uploads(queue, clock, [LATE_S + 0.1] * 20, STANDING_S / 10))
    assert uploads(queue, clock, [0.0, LATE_S + 0.1, LATE_S + 0.1], STANDING_S / 10) == [False] * 3


def test_late_ones_with_a_pause_between_them_are_no_queue(queue: Queue, clock: Clock) -> None:
    assert not any(uploads(queue, clock, [LATE_S + 0.1] * 10, 10 * STANDING_S))


def test_a_process_that_was_just_started_refuses_nobody_until_it_has_caught_up(clock: Clock) -> None:
    queue = Queue(clock)
    assert not any(uploads(queue, clock, [LATE_S + 0.1] * 40, STANDING_S / 4))
    queue.begin(0.0)
    assert any(uploads(queue, clock, [LATE_S + 0.1] * 40, STANDING_S / 4))


def test_a_process_that_never_catches_up_begins_to_refuse(clock: Clock) -> None:
    queue = Queue(clock)
    count = int(GRACE_S / (STANDING_S / 4))
    assert not any(uploads(queue, clock, [LATE_S + 0.1] * (count - 1), STANDING_S / 4))
    assert any(uploads(queue, clock, [LATE_S + 0.1] * 10, STANDING_S / 4))


# When they come again


def refuse_many(queue: Queue, clock: Clock, count: int) -> list[float]:
    """Let a queue stand in which a hundred are taken a second, and refuse so many; when each may come again."""
    uploads(queue, clock, [LATE_S + 0.1] * 63, 0.01)
    assert queue.is_standing(LATE_S + 0.1)
    return [clock.now + queue.appointment_s() for _ in range(count)]


def test_who_is_refused_comes_again_one_after_the_other(queue: Queue, clock: Clock) -> None:
    returns = refuse_many(queue, clock, 1000)
    assert returns == sorted(returns)
    assert returns[0] == clock.now + SOONEST_S
    in_one_second = Counter(int(at - clock.now) for at in returns)
    assert max(in_one_second.values()) == pytest.approx(50, abs=3)  # half of those that can be taken


def test_nobody_is_sent_away_for_long_and_it_is_forgotten(queue: Queue, clock: Clock) -> None:
    assert max(refuse_many(queue, clock, 100_000)) == clock.now + LATEST_S
    clock.now += LATEST_S
    assert refuse_many(queue, clock, 1) == [clock.now + SOONEST_S]


TAKING_S, REFUSING_S = 0.08, 0.02  # on a slow machine


def crowd_is_taken_after_s(count: int, again_s: Callable[[Queue], float]) -> float:
    """When the last one of so many who come at once, and again when they are told, has been taken."""
    clock = Clock()
    queue = Queue(clock)
    queue.begin(0.0)
    start = clock.now
    arrivals = [start] * count
    while arrivals and clock.now < start + 1000:
        came = heapq.heappop(arrivals)
        clock.now = max(clock.now, came)
        queue.begin(clock.now - came)
        is_refused = queue.is_standing(clock.now - came)
        clock.now += REFUSING_S if is_refused else TAKING_S
        if is_refused:
            heapq.heappush(arrivals, clock.now + again_s(queue))
    return clock.now - start


def test_a_crowd_that_comes_again_when_told_is_soon_taken() -> None:
    assert crowd_is_taken_after_s(300, Queue.appointment_s) < 4 * 300 * TAKING_S
    assert crowd_is_taken_after_s(300, lambda _: SOONEST_S) >= 1000  # all the time goes into telling them


# Over HTTP


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/api/queries"])
def test_a_visitor_of_a_standing_queue_is_told_when_to_come_again(client: Client, address: str) -> None:
    client.get("/healthz", headers={"X-Request-Start": passed_on(0)})
    deadline = time.monotonic() + PATIENCE_S
    while (response := upload(client, address, late_s=10)).status_code != 503:
        assert response.status_code in {202, 303}
        assert time.monotonic() < deadline
        time.sleep(STANDING_S / 10)
    assert response["Retry-After"] == "5"
    if address == "/":
        assert "try again" in alert(response)
    else:
        assert response.json()["error"]["code"] == "busy"
    kept = Query.objects.count()
    assert upload(client, address, late_s=10).status_code == 503
    assert Query.objects.count() == kept
    assert client.get("/api/images", headers={"X-Request-Start": passed_on(10)}).status_code == 200
    assert upload(client, address, late_s=0).status_code in {202, 303}


@pytest.mark.django_db
def test_who_asks_past_nginx_does_not_say_that_the_process_has_caught_up(client: Client) -> None:
    for _ in range(15):
        assert client.get("/healthz").status_code == 200
        assert upload(client, "/api/queries", late_s=10).status_code == 202
        time.sleep(STANDING_S / 10)


@pytest.mark.parametrize("header", ["", "t=", "t=nan", "t=-5.0", "1", "t=1e9", "t=99999999999.0", f"t={9**99}.0"])
def test_a_header_that_says_nothing_is_no_wait(rf: RequestFactory, header: str) -> None:
    assert not waited_s(rf.get("/", headers={"X-Request-Start": header}))


def upload(client: Client, address: str, late_s: float) -> Response:
    file = SimpleUploadedFile("own.jpg", picture())
    return client.post(address, {"image": file}, headers={"X-Request-Start": passed_on(late_s)})


def passed_on(ago_s: float) -> str:
    return f"t={time.time() - ago_s:.3f}"
