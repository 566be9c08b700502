"""The queue: its length, the expected wait, and the interval of polls."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from django.core.cache import cache
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from gallery.models import Query

# The length of the queue is cached for this time per process, because every upload and every poll needs it.
CACHE_KEY, CACHED_S = "simsearch:queue", 0.25
RECENT_S, RECENT_QUERIES = 10, 64  # finished queries that the throughput is taken from
USUAL_PER_S, USUAL_S = 20.0, 0.03  # while none has finished recently
WAKE_S = 0.008  # from the commit to the claim, in an idle system
FIRST_POLL_MS, LAST_POLL_MS = 10, 2000
LATE_S = 10
POLL_SHARE = 0.3  # the shortest pause, as a share of the time that a query has taken so far
AHEAD = "SELECT COUNT(*) FROM gallery_query WHERE state = %s AND created_at < %s"
WAITING, RUNNING, DONE, FAILED = Query.State.WAITING, Query.State.RUNNING, Query.State.DONE, Query.State.FAILED


@dataclass(frozen=True)
class Queue:
    """How many queries wait and run.

    `per_s`: how many a second the workers answer while they are busy; `quickest_s`: the shortest of the recent batches.
    """

    waiting: int
    running: int
    per_s: float = USUAL_PER_S
    quickest_s: float = USUAL_S

    def wait_s(self, ahead: int) -> float:
        """Return the expected time of a waiting query with `ahead` before it, as if running ones had just begun."""
        return (self.running + ahead) / self.per_s + self.quickest_s + WAKE_S

    def poll_after_ms(self, query: Query, ahead: int) -> int:
        """Return when the queries ahead and one more batch are answered at the recent throughput.

        Old queries are polled less often: their workers may be away.
        """
        now = timezone.now()
        if query.state == RUNNING and query.claimed_at:  # a batch ends together
            due_s = self.running / self.per_s - (now - query.claimed_at).total_seconds()
        else:  # running queries are half done on average; counting them fully is a margin that saves a second poll
            due_s = self.wait_s(ahead)
        due_s = max(due_s, POLL_SHARE * (now - query.created_at).total_seconds())
        return int(min(LAST_POLL_MS, max(FIRST_POLL_MS, 1000 * due_s)))


def count() -> int:
    """Return how many queries wait."""
    return Query.objects.filter(state=WAITING).count()


def ahead_of(query: Query) -> int:
    """Return how many queries will be claimed before this one."""
    if query.state != WAITING:
        return 0
    with connection.cursor() as cursor:  # in SQL: every poll needs it, and the ORM takes longer than the database
        created_at = connection.ops.adapt_datetimefield_value(query.created_at)
        cursor.execute(AHEAD, [WAITING, created_at])
        return int(cursor.fetchone()[0])


def is_late(query: Query) -> bool:
    """Tell whether the oldest query waits longer than people expect."""
    return timezone.now() - query.created_at > timedelta(seconds=LATE_S)


def cached() -> Queue:
    """Return the queue, at most CACHED_S old."""
    return cast("Queue", cache.get_or_set(CACHE_KEY, _queue, CACHED_S))


def _queue() -> Queue:
    unfinished = Query.objects.filter(state__in=[WAITING, RUNNING]).order_by()
    counts = dict(unfinished.values_list("state").annotate(Count("pk")))
    since = timezone.now() - timedelta(seconds=RECENT_S)
    recent = Query.objects.filter(state=DONE, created_at__gt=since, claimed_at__isnull=False).order_by("-created_at")
    rows = list(recent.values_list("claimed_by", "claimed_at", "finished_at")[:RECENT_QUERIES])
    batches_s = [(end - start).total_seconds() for _, start, end in set(rows) if start and end]
    if sum(batches_s) <= 0:
        return Queue(counts.get(WAITING, 0), counts.get(RUNNING, 0))
    per_s = len(rows) * len({process for process, _, _ in rows}) / sum(batches_s)
    return Queue(counts.get(WAITING, 0), counts.get(RUNNING, 0), per_s, min(batches_s))


def oldest_s() -> float:
    """Return the age of the oldest waiting query in seconds; 0 when none waits."""
    oldest = Query.objects.filter(state=WAITING).order_by("created_at").values_list("waiting_since", flat=True).first()
    return max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
