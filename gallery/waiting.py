"""How many wait, and for how long; and what has waited long enough after it was answered."""

from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from django.core.cache import cache
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from gallery.forecast import Forecast, Run
from gallery.models import Query

LATELY_S, RUNS = 10, 8  # what was answered before, and in older runs, says nothing of now
# Every upload and every poll asks how the queue stands, which took a third of their time. What one asked will do for
# the others of its process that come within:
NOTED, NOTED_S = "simsearch:queue", 0.2
WAITING, RUNNING, DONE, FAILED = Query.State.WAITING, Query.State.RUNNING, Query.State.DONE, Query.State.FAILED


@dataclass(frozen=True)
class Queue:
    """When those that wait were received (seconds since the epoch, the oldest first), and when they may be answered."""

    received: "array[float]"
    forecast: Forecast | None

    def ahead_of(self, query: Query) -> int:
        """How many queries will be claimed before this one."""
        return bisect_left(self.received, query.created_at.timestamp()) if query.state == WAITING else 0


def count() -> int:
    """How many queries wait."""
    return Query.objects.filter(state=WAITING).count()


def noted() -> Queue:
    """How the queue stood NOTED_S ago at most."""
    return cast("Queue", cache.get_or_set(NOTED, _queue, NOTED_S))


def _queue() -> Queue:
    unfinished = Query.objects.filter(state__in=[WAITING, RUNNING]).order_by("created_at")
    rows = list(unfinished.values_list("state", "created_at", "claimed_by", "claimed_at"))
    received = array("d", (created_at.timestamp() for state, created_at, _, _ in rows if state == WAITING))
    claims = Counter((process, claimed_at) for state, _, process, claimed_at in rows if state == RUNNING and claimed_at)
    going_on = [Run(process, claimed_at.timestamp(), size) for (process, claimed_at), size in claims.items()]
    return Queue(received, Forecast.of(going_on, _ended()))


def _ended() -> list[Run]:
    """The newest runs with an answer, of queries that were asked lately."""
    since = timezone.now() - timedelta(seconds=LATELY_S)
    answered = Query.objects.filter(state=DONE, created_at__gt=since, finished_at__gt=F("claimed_at"))
    runs = answered.values_list("claimed_by", "claimed_at", "finished_at").annotate(size=Count("pk"))
    return [
        Run(process, claimed_at.timestamp(), size, (finished_at - claimed_at).total_seconds())
        for process, claimed_at, finished_at, size in runs.order_by("-claimed_at")[:RUNS]
    ]


def oldest_s() -> float:
    """The age of the oldest waiting query in seconds; 0 when none waits."""
    oldest = Query.objects.filter(state=WAITING).order_by("created_at").values_list("waiting_since", flat=True).first()
    return max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0


def expired(older_than: datetime) -> QuerySet[Query]:
    """The finished queries from before `older_than`."""
    return Query.objects.filter(state__in=[DONE, FAILED], created_at__lt=older_than)


def expire(older_than: datetime) -> int:
    """Delete finished queries from before `older_than`, with their pictures."""
    count = 0
    for query in expired(older_than).iterator(chunk_size=500):
        query.delete()
        count += 1
    return count
