"""Asking a question, from the site and from the API alike."""

import time
from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from gallery import queries, throttle, uploads, waiting
from gallery.errors import OUTCOME
from gallery.middleware import RECEIVED
from gallery.models import Image, Query
from gallery.queries import Question
from gallery.spans import Stopwatch
from gallery.uploads import Readable

# How long a poll should wait, whatever is expected; the first one where nothing is.
SOONEST_POLL_MS, FIRST_POLL_MS, LAST_POLL_MS = 25, 150, 2000
LATE_S = 10


def ask_with_file(request: HttpRequest, file: Readable, question: Question) -> Query:
    """Raises Refusal with one of the upload codes, `throttled`, `busy` or `no_space`."""
    received = _admit(request)
    upload = uploads.accept(file)
    received.end("reencode")
    query = queries.ask(upload, question, received)
    request.META[OUTCOME] = "accepted"
    return query


def ask_like(request: HttpRequest, image: Image, question: Question) -> Query:
    """Raises Refusal `throttled` or `busy`."""
    query = queries.ask_like(image, question, _admit(request))
    request.META[OUTCOME] = "accepted"
    return query


@dataclass(frozen=True)
class Prospect:
    """How many are ahead of a query, and when to look at it again."""

    ahead: int
    poll_after_ms: int | None


def prospect(query: Query) -> Prospect:
    """As of a moment ago; there is no need to look again at a query that has ended."""
    if query.is_finished:
        return Prospect(0, None)
    queue, now = waiting.noted(), time.time()
    ahead = queue.ahead_of(query)
    if queue.forecast is None:
        return Prospect(ahead, _within(FIRST_POLL_MS, (now - query.created_at.timestamp()) / 5))
    if query.state == Query.State.RUNNING and query.claimed_at:
        due = queue.forecast.end_of(query.claimed_at.timestamp(), now)
    else:
        due = queue.forecast.answer_of(ahead, len(queue.received), now)
    return Prospect(ahead, _within(SOONEST_POLL_MS, due - now))


def _within(least_ms: int, span_s: float) -> int:
    return int(min(LAST_POLL_MS, max(least_ms, span_s * 1000)))


def is_late(query: Query) -> bool:
    """Whether it takes longer than people expect."""
    return timezone.now() - query.created_at > timedelta(seconds=LATE_S)


def _admit(request: HttpRequest) -> Stopwatch:
    """Since when it takes how long. Raises Refusal `throttled`."""
    received: Stopwatch = request.META[RECEIVED]
    received.end("parse")
    throttle.check(str(request.META.get("REMOTE_ADDR", "")))
    received.end("throttle")
    return received
