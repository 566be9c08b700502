"""When uploads come faster than they can be taken, some are refused at once, so that the others need not wait long.

Whoever waits for a thread cannot be refused by what that thread runs, so an upload would wait as long as the crowd is
large. nginx says when it passed the request on (both have the same clock): how long ago that is, is how long the queue
is, on any machine.
"""

import math
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from gallery.errors import Refusal
from gallery.middleware import ASKING_VIEWS, drain
from gallery.pages import refuse

PASSED_ON = re.compile(r"t=(\d{1,12}\.\d{1,6})")
# What is accepted has waited hardly longer than both together: it is to be answered within 2 s, also on two busy cores.
LATE_S, STANDING_S = 0.3, 0.6
# A process that was started finds all who waited for it. It refuses nobody until it has caught up, or for so long.
GRACE_S = 30.0
# Nobody is told to come again sooner, or later.
SOONEST_S, LATEST_S = 5.0, 60.0
# Of the uploads that a process can take, the other half is for those who come for the first time.
SHARE_OF_RETURNING = 0.5


class Queue:
    """What one process knows of the queue in front of it.

    A queue in which everybody has waited for more than LATE_S stands; one that stands for STANDING_S does not go away
    by itself. A shorter one is a stall, and costs nobody an upload (Nichols, Jacobson: Controlling Queue Delay, 2012).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grace_until = clock() + GRACE_S
        self._late_since: float | None = None
        self._last = 0.0
        self._taken = 0  # since it is late, as long as nobody is refused
        self._upload_s = 0.0  # how long one took then
        self._next_return = 0.0
        self._lock = threading.Lock()

    def begin(self, waited_s: float) -> None:
        """To be told of every request of which that is known, as it is begun."""
        if waited_s <= LATE_S:
            self._grace_until = -math.inf

    def is_standing(self, waited_s: float) -> bool:
        """To be asked for every upload of which that is known, as it is begun."""
        with self._lock:
            now = self._clock()
            was_empty = now - waited_s > self._last + STANDING_S  # this one came long after the last one was begun
            self._last = now
            if waited_s <= LATE_S:
                self._late_since = None
            elif self._late_since is None or was_empty:
                self._late_since, self._taken = now, 0
            late_s = 0.0 if self._late_since is None else now - self._late_since
            if late_s <= STANDING_S or now <= self._grace_until:
                self._taken += 1
                return False
            if self._taken:
                self._upload_s, self._taken = late_s / self._taken, 0
            return True

    def appointment_s(self) -> int:
        """To be asked for every upload that is refused: in how many seconds it may come again.

        One after the other, as slowly as they can be taken beside those who come for the first time.
        """
        with self._lock:
            now = self._clock()
            at = min(max(self._next_return, now + SOONEST_S), now + LATEST_S)
            self._next_return = at + self._upload_s / SHARE_OF_RETURNING
            return round(at - now)


class CrowdMiddleware:
    """Answers 503 to an upload that has waited in a standing queue.

    A visitor who writes the header himself, where no nginx overwrites it, is refused himself and nobody else.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._queue = Queue()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if (waited := waited_s(request)) is not None:
            self._queue.begin(waited)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        match = request.resolver_match
        is_upload = request.method == "POST" and match is not None and match.view_name in ASKING_VIEWS
        waited = waited_s(request) if is_upload else None
        if waited is None or not self._queue.is_standing(waited):
            return None
        drain(request)
        again_s = self._queue.appointment_s()
        message = f"Too many pictures are sent at this moment; try again in {again_s} seconds."
        return refuse(request, Refusal("busy", message, retry_after_s=again_s))


def waited_s(request: HttpRequest) -> float | None:
    """How long ago nginx passed it on, by `X-Request-Start: t=<seconds since 1970>`.

    None where nobody says so: programs of this machine that ask past nginx.
    """
    passed_on = PASSED_ON.fullmatch(request.META.get("HTTP_X_REQUEST_START", ""))
    return max(0.0, time.time() - float(passed_on[1])) if passed_on else None
