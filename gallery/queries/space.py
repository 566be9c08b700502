"""The quota of disk space for the pictures of queries."""

import os
from pathlib import Path

from django.conf import settings

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
        excess -= _bytes(query.picture_path) + _bytes(query.upload_path)
        query.delete()
        count += 1
        if excess <= 0:
            break
    return count


def used() -> int:
    """Return the bytes of all files of queries; a second for 100,000 of them."""
    roots = (settings.MEDIA_ROOT / "queries", settings.UPLOADS_ROOT / "queries")
    return sum(_bytes(Path(folder, name)) for root in roots for folder, _, names in os.walk(root) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted at this moment
        return 0
