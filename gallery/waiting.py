"""How many wait, and for how long; and what has waited long enough after it was answered."""

from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from gallery.models import Query

WAITING, DONE, FAILED = Query.State.WAITING, Query.State.DONE, Query.State.FAILED


def count() -> int:
    """How many queries wait."""
    return Query.objects.filter(state=WAITING).count()


def ahead_of(query: Query) -> int:
    """How many queries will be claimed before this one."""
    if query.state != WAITING:
        return 0
    return Query.objects.filter(state=WAITING, created_at__lt=query.created_at).count()


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
