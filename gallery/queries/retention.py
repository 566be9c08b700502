"""How long finished queries are kept: by their age, and by the disk space of their pictures."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from gallery.models import Query, QueryPart
from gallery.storage import files

DONE, FAILED = Query.State.DONE, Query.State.FAILED


def expired(older_than: datetime) -> QuerySet[Query]:
    """Return the finished queries from before `older_than`."""
    return Query.objects.filter(state__in=[DONE, FAILED], created_at__lt=older_than)


def expire_old() -> int:
    """Delete finished queries and their pictures after SIMSEARCH_QUERY_TTL_S."""
    return expire(timezone.now() - timedelta(seconds=settings.SIMSEARCH_QUERY_TTL_S))


def expire(older_than: datetime) -> int:
    """Delete finished queries from before `older_than`, with their pictures."""
    count = 0
    for query in expired(older_than).iterator(chunk_size=500):
        query.delete()
        count += 1
    return count


def enforce_quota() -> int:
    """Delete the oldest finished queries until all pictures of queries fit SIMSEARCH_QUERY_SPACE; returns how many.

    Waiting queries stay, however much they take: they were accepted. SIMSEARCH_MAX_WAITING limits their number.
    """
    excess, count = used() - settings.SIMSEARCH_QUERY_SPACE, 0
    if excess <= 0:
        return 0
    # Without queries that only name gallery pictures.
    finished = Query.objects.filter(Q(has_picture=True) | Q(has_parts=True), state__in=[DONE, FAILED])
    for query in finished.order_by("created_at").iterator(500):
        excess -= sum(file.size() for file in query.files)
        query.delete()
        count += 1
        if excess <= 0:
            break
    return count


def used() -> int:
    """Return the bytes of all files of queries; a second for 100,000 of them."""
    areas: tuple[files.Area, ...] = ("default", "uploads")
    folders = [(area, f"{row.folder}/") for area in areas for row in (Query, QueryPart)]
    return sum(entry.size_bytes for place in folders for _, entry in files.entries(*place))
