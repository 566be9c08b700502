"""The life of a query. Every change of state is one guarded UPDATE, so the second of two processes changes nothing.

WAITING -> RUNNING -> DONE | FAILED          RUNNING -> WAITING when its lease is over
"""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext_noop

from gallery import clock
from gallery.models import Band, Query, StoredMatch
from gallery.operations import counters, processes
from gallery.persistence import persist
from gallery.queries import throttle
from gallery.storage import files

MAX_ATTEMPTS = 3
GAVE_UP = gettext_noop("The search stopped 3 times while it looked at this picture. Try another picture.")
# The task is killed at its time limit; a row that is still RUNNING a little later belongs to no process.
LEASE_MARGIN_S = 5
# A batch that cannot write its answers costs its queries an attempt. Less than uploads leave (RESERVED_BYTES).
ROOM_FOR_ANSWERS_BYTES = 4 * 2**20
WAITING, RUNNING, DONE, FAILED = Query.State.WAITING, Query.State.RUNNING, Query.State.DONE, Query.State.FAILED


@dataclass(frozen=True)
class Claim:
    """Queries that one batch owns until the lease is over."""

    token: uuid.UUID
    queries: Sequence[Query]


LISTED = 100  # near-duplicates that are listed with a match; a burst has hundreds


@dataclass(frozen=True)
class Found:
    """A gallery picture with its cosine and band, and up to LISTED near-duplicates with their cosines."""

    image: uuid.UUID
    similarity: float
    duplicates: list[tuple[uuid.UUID, float]] = field(default_factory=list)
    band: Band | None = None

    def stored(self) -> StoredMatch:
        """Return the match as it is kept in `Query.matches`."""
        return {
            "image": str(self.image),
            "similarity": self.similarity,
            "band": self.band,
            "duplicates": [(str(image), round(similarity, 4)) for image, similarity in self.duplicates],
        }


# For each query, best first.
Answers = Mapping[Query, Sequence[Found]]


@dataclass(frozen=True)
class Searched:
    """What the results of a batch share: number of images, model, generation, and timings.

    `stages_ms`: the time of each stage for the whole batch.
    """

    images: int
    model_id: str
    generation: int | None
    stages_ms: dict[str, float]


# --- Answering ----------------------------------------------------------------------------------------------


def claim(limit: int) -> Claim:
    """Take up to `limit` waiting queries, the oldest first.

    A query that was tried before is claimed alone, so that it cannot take others with it if it kills its worker. None
    are claimed while the disk of the database is full.
    """
    token = uuid.uuid4()
    if not _has_room():
        return Claim(token, [])
    claimed = {"state": RUNNING, "claim": token, "claimed_by": processes.current(), "claimed_at": timezone.now()}
    with transaction.atomic():
        oldest = list(_unlocked(Query.objects.filter(state=WAITING).order_by("created_at"))[:limit])
        is_retry = bool(oldest) and oldest[0].attempts > 0
        mine = oldest[:1] if is_retry else [query for query in oldest if query.attempts == 0]
        if mine:
            ids = [query.pk for query in mine]
            Query.objects.filter(id__in=ids, state=WAITING).update(
                attempts=F("attempts") + 1, lease_until=_lease_end(), **claimed
            )
    prefetch_related_objects([query for query in mine if not query.has_picture], "like")
    prefetch_related_objects([query for query in mine if query.has_parts], "parts__image")
    for query in mine:  # as the rows are now, without another SELECT
        query.attempts += 1
        for name, value in claimed.items():
            setattr(query, name, value)
    return Claim(token, mine)


def _lease_end() -> Any:
    return clock.from_now(settings.SIMSEARCH_ANSWER_LIMIT_S + LEASE_MARGIN_S)


def _has_room() -> bool:
    """Return whether the database can write the answers of a batch. We cannot see PostgreSQL's disk."""
    if connection.vendor != "sqlite":
        return True
    folder = Path(connection.settings_dict["NAME"]).parent
    return shutil.disk_usage(folder).free >= ROOM_FOR_ANSWERS_BYTES


def _unlocked(rows: "QuerySet[Query]") -> "QuerySet[Query]":
    """Lock and return the rows that no other transaction has locked. SQLite has one writer."""
    return rows.select_for_update(skip_locked=True) if connection.features.has_select_for_update_skip_locked else rows


def finish(token: uuid.UUID, answers: Answers, searched: Searched) -> int:
    """Write the matches and DONE in one transaction; a query that this claim no longer owns is left alone.

    Returns how many queries were finished; these have their timings.
    """
    return persist(lambda: _finish(token, answers, searched))


def _finish(token: uuid.UUID, answers: Answers, searched: Searched) -> int:
    """Finish a batch in three statements: lock its rows, write the matches of each, mark all as done."""
    with transaction.atomic():
        mine = Query.objects.filter(state=RUNNING, claim=token, id__in=[query.pk for query in answers])
        owned = set(mine.select_for_update().order_by().values_list("id", flat=True))
        finished = [query for query in answers if query.pk in owned]
        if finished:
            _write_matches({query: answers[query] for query in finished})
            now = timezone.now()
            mine.update(
                state=DONE,
                finished_at=now,
                claim=None,
                lease_until=None,
                client=None,
                generation=searched.generation,
                model_id=searched.model_id,
                images=searched.images,
                stages_ms=searched.stages_ms,
            )
            for query in finished:
                query.state, query.finished_at, query.stages_ms = DONE, now, searched.stages_ms
    counters.ANSWERS.labels("done", "").inc(len(finished))
    return len(finished)


def _write_matches(answers: Answers) -> None:
    """Update the rows in SQL, because Django's bulk_update takes longer than the database."""
    column, key = Query._meta.get_field("matches"), Query._meta.pk
    rows = [
        (
            column.get_db_prep_save([match.stored() for match in found], connection),
            key.get_db_prep_save(query.pk, connection),
        )
        for query, found in answers.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE gallery_query SET matches = %s WHERE id = %s", rows)


def mark_incomplete(token: uuid.UUID, queries: Sequence[Query]) -> None:
    """Record that the files of these queries ended too soon."""
    rows = Query.objects.filter(claim=token, id__in=[query.pk for query in queries])
    persist(lambda: rows.update(is_incomplete=True))


def fail(token: uuid.UUID, query: Query, code: str, reason: str) -> bool:
    """End a query that cannot be answered. Returns False if this claim no longer owns it."""
    failed = bool(_fail(Query.objects.filter(id=query.pk, state=RUNNING, claim=token), [query], code, reason))
    if failed and code == "too_costly":
        throttle.count_costly(query.client)
    return failed


def renew(queries: Sequence[Query]) -> None:
    """Renew the lease of queries that this process has claimed."""
    mine = Query.objects.filter(state=RUNNING, claimed_by=processes.current(), id__in=[query.pk for query in queries])
    mine.update(lease_until=_lease_end())


def remove_withdrawn(claimed: Sequence[Query]) -> None:
    """Delete the pictures of queries that were deleted while they were answered."""
    there = set(Query.objects.filter(pk__in=[query.pk for query in claimed]).values_list("pk", flat=True))
    for query in claimed:
        if query.pk not in there:
            files.remove(*query.files)


def requeue(token: uuid.UUID, query: Query | None = None) -> int:
    """Let the unfinished queries of a claim, or one of them, wait again, or fail after the third attempt.

    Returns how many this claim still owned.
    """
    mine = Query.objects.filter(state=RUNNING, claim=token)
    return persist(lambda: _release(mine.filter(id=query.pk) if query else mine))


def requeue_uncounted(token: uuid.UUID) -> int:
    """Let the unfinished queries of a claim wait again without counting the attempt: they were not the cause."""
    mine = Query.objects.filter(state=RUNNING, claim=token)
    again = {"state": WAITING, "claim": None, "lease_until": None, "waiting_since": timezone.now()}
    return persist(lambda: mine.update(attempts=F("attempts") - 1, **again))


# --- Recovery -----------------------------------------------------------------------------------------------


def release_overdue() -> int:
    """Release queries whose lease is over or whose process has ended. Returns how many."""
    running = Query.objects.filter(state=RUNNING)
    names = running.order_by().values_list("claimed_by", flat=True).distinct()
    gone = processes.gone(names)
    with transaction.atomic():  # does not wait for a query that is being finished at this moment
        left = _unlocked(running.order_by().filter(clock.lease_is_over() | Q(claimed_by__in=gone)))
        return _release(running.filter(id__in=list(left.values_list("id", flat=True))))


def _release(rows: "QuerySet[Query]") -> int:
    tried = rows.filter(attempts__gte=MAX_ATTEMPTS)
    failed = _fail(tried, list(tried.only("pk", "has_parts")), "gave_up", GAVE_UP)
    released = rows.update(state=WAITING, claim=None, lease_until=None, waiting_since=timezone.now())
    return failed + released


def withdraw(query_id: uuid.UUID) -> bool:
    """Delete a query at once, whatever its state, with its pictures. Returns False if there is none.

    A batch that is answering it finishes nothing: its UPDATE finds no row.
    """
    return bool(Query.objects.filter(pk=query_id).delete()[0])


def _fail(rows: "QuerySet[Query]", queries: Sequence[Query], code: str, reason: str) -> int:
    """Fail `rows`, which are those of `queries`, and delete their uploads."""
    failed = rows.update(
        state=FAILED,
        error_code=code,
        error=reason,
        finished_at=timezone.now(),
        claim=None,
        lease_until=None,
        client=None,
    )
    if failed:
        stored = [row.upload_file for query in queries for row in query.pictures]
        transaction.on_commit(lambda: files.remove(*stored))
    counters.ANSWERS.labels("failed", code).inc(failed)
    return failed
