"""The quota of disk space for the pictures of queries."""

from django.conf import settings

from gallery import files
from gallery.models import Query

DONE, FAILED = Query.State.DONE, Query.State.FAILED


def enforce() -> int:
    """Delete the oldest finished queries until all pictures of queries fit SIMSEARCH_QUERY_SPACE; returns how many.

    Those that wait stay, however much they take: they were accepted. Their number is limited by SIMSEARCH_MAX_WAITING.
    """
    excess, count = used() - settings.SIMSEARCH_QUERY_SPACE, 0
    if excess <= 0:
        return 0
    for query in Query.objects.filter(state__in=[DONE, FAILED], has_picture=True).order_by("created_at").iterator(500):
        excess -= query.picture_file.size() + query.upload_file.size()
        query.delete()
        count += 1
        if excess <= 0:
            break
    return count


def used() -> int:
    """The bytes of all files of queries; a second for 100,000 of them."""
    areas: tuple[files.Area, ...] = ("default", "uploads")
    return sum(entry.size_bytes for area in areas for _, entry in files.entries(area, "queries"))
