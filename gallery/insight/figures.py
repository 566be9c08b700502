"""The figures of the dashboard: searches, latency, searches without a good match, labels and disk space."""

import itertools
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from gallery.models import Image, Query
from gallery.timings import in_ms

DONE, FAILED = Query.State.DONE, Query.State.FAILED
MOST_READ = 20_000  # searches whose latency and matches are read: half a second
DAYS = 14
LISTED = 12  # pictures
LABELS = 15


@dataclass(frozen=True)
class Day:
    """The searches of one day, and how long the answered ones took."""

    day: date
    searches: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Disk:
    """Free space and size of a disk."""

    free_bytes: int
    total_bytes: int


def days() -> list[Day]:
    """Return every day from the first kept search on, DAYS at most, today last."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [today - timedelta(days=number) for number in reversed(range(DAYS))]
    rows = Query.objects.filter(created_at__gte=midnights[0]).order_by("-created_at")
    counts = _counts(rows, midnights)
    times: dict[date, list[float]] = defaultdict(list)
    for created_at, finished_at in _done(rows).values_list("created_at", "finished_at")[:MOST_READ]:
        if finished_at:
            times[created_at.date()].append(in_ms(finished_at - created_at))
    span = list(itertools.dropwhile(lambda day: not counts[day], counts)) or [today.date()]
    return [Day(day, counts[day], percentile(times[day], 50), percentile(times[day], 95)) for day in span]


def _counts(rows: QuerySet[Query], midnights: Sequence[datetime]) -> dict[date, int]:
    """Return how many were received on each day. A GROUP BY of the date calls Python for each row with SQLite."""
    ranges = [Q(created_at__gte=day, created_at__lt=day + timedelta(days=1)) for day in midnights]
    counts = rows.order_by().aggregate(**{f"day{n}": Count("id", filter=day) for n, day in enumerate(ranges)})
    return {day.date(): counts[f"day{n}"] for n, day in enumerate(midnights)}


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that `percent` of a hundred do not exceed; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def by_state() -> dict[str, int]:
    """Return how many searches are kept in each state."""
    counts = dict(Query.objects.order_by().values_list("state").annotate(count=Count("id")))
    return {state: counts.get(state, 0) for state in Query.State.values}


def weak() -> QuerySet[Query]:
    """Return the answered searches whose best match is weak, the newest first."""
    return Query.objects.filter(state=DONE, matches__0__band="weak").order_by("-created_at")


def weak_pictures() -> list[Query]:
    """Return the newest of them whose picture can be shown."""
    return [query for query in weak().select_related("like")[: 4 * LISTED] if query.picture_url][:LISTED]


def most_seen() -> list[tuple[Image, int]]:
    """Return the visible pictures that are matches of the most searches, with how many."""
    counts: Counter[str] = Counter()
    answers = _done(Query.objects.order_by("-created_at")).values_list("matches", flat=True)[:MOST_READ]
    for matches in answers.iterator(1000):
        counts.update(match["image"] for match in matches or [])
    often = counts.most_common(4 * LISTED)
    images = Image.objects.visible().in_bulk([UUID(image) for image, _ in often])
    found = [(images[UUID(image)], count) for image, count in often if UUID(image) in images]
    return found[:LISTED]


def failures() -> list[tuple[str, int]]:
    """Return how many searches failed by each reason, the most frequent first."""
    rows = Query.objects.filter(state=FAILED).order_by().values_list("error_code").annotate(count=Count("id"))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def labels() -> list[tuple[str, int]]:
    """Return how many visible pictures have each label, the most frequent first; "" for none."""
    rows = Image.objects.visible().order_by().values_list("label").annotate(count=Count("id"))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def disk() -> Disk:
    """Return the free space on the disk of the pictures."""
    folder = settings.MEDIA_ROOT
    while not folder.is_dir():  # not made yet
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Disk(usage.free, usage.total)


def _done(rows: QuerySet[Query]) -> QuerySet[Query]:
    return rows.filter(state=DONE)
