"""The quota of disk space for the pictures of queries."""

from django.conf import settings
from django.db.models import Q

from gallery import files
from gallery.models import Query, QueryPart

DONE, FAILED = Query.State.DONE, Query.State.FAILED


def enforce() -> int:
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
