"""The life of an analysis: requested by a person or a new index, claimed by a worker, finished, or released again."""

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from gallery import clock
from gallery.models import Analysis
from gallery.operations import processes
from gallery.queries import wakeup

Kind = Analysis.Kind
WAITING, RUNNING, DONE, FAILED = (
    Analysis.State.WAITING,
    Analysis.State.RUNNING,
    Analysis.State.DONE,
    Analysis.State.FAILED,
)
LEASE_S = 900  # the longest step without a sign of progress: the layout of a map
MAX_ATTEMPTS = 3
GAVE_UP = f"The worker ended {MAX_ATTEMPTS} times before this was finished. Its log says why."
KEPT_CURRENT = (Kind.DUPLICATES, Kind.MISLABELS, Kind.MAP)  # run again after a new index, once somebody requested them


class Superseded(Exception):
    """This process's lease is over: another one runs the analysis."""


def get(kind: Kind) -> Analysis:
    """Return the analysis of this kind; an unsaved one if it was never requested."""
    return Analysis.objects.filter(kind=kind).first() or Analysis(kind=kind, state=DONE)


def request(kind: Kind) -> None:
    """Request a run, unless one waits or runs. The last result stays until the new one is there."""
    row, is_new = Analysis.objects.get_or_create(kind=kind)
    if not is_new:
        _wait(Analysis.objects.filter(pk=row.pk).exclude(state__in=[WAITING, RUNNING]))
    wakeup.wake_workers(wakeup.ANALYSE)


def request_again() -> None:
    """Run the requested analyses again after a new index."""
    if _wait(Analysis.objects.filter(kind__in=KEPT_CURRENT).exclude(state__in=[WAITING, RUNNING])):
        wakeup.wake_workers(wakeup.ANALYSE)


def _wait(rows: Any) -> int:
    count: int = rows.update(state=WAITING, requested_at=timezone.now(), attempts=0, error="", done=0, total=0)
    return count


def claim() -> Analysis | None:
    """Claim the analysis that waits longest; None if none waits."""
    for waiting in Analysis.objects.filter(state=WAITING).order_by("requested_at"):
        changed = Analysis.objects.filter(pk=waiting.pk, state=WAITING).update(
            state=RUNNING,
            runner=processes.current(),
            attempts=waiting.attempts + 1,
            lease_until=_lease(),
            started_at=timezone.now(),
            done=0,
            total=0,
        )
        if changed:
            return Analysis.objects.get(pk=waiting.pk)
    return None


def advance(analysis: Analysis, done: int, total: int) -> None:
    """Renew the lease and record the progress. Raises Superseded."""
    if not _mine(analysis).update(done=done, total=total, lease_until=_lease()):
        raise Superseded


def finish(analysis: Analysis, result: dict[str, Any]) -> None:
    """Store the result, inside the transaction that writes its rows. Raises Superseded."""
    changed = _mine(analysis).update(
        state=DONE, result=result, finished_at=timezone.now(), lease_until=None, runner="", error=""
    )
    if not changed:
        raise Superseded


def fail(analysis: Analysis, reason: str) -> None:
    """End it with a reason that people understand; the last result stays."""
    _mine(analysis).update(state=FAILED, error=reason[:500], lease_until=None, runner="")


def release_overdue() -> int:
    """Release analyses whose process has ended or whose lease is over; returns how many wait now.

    One that ended its process MAX_ATTEMPTS times fails and says so.
    """
    running = Analysis.objects.filter(state=RUNNING)
    gone = processes.gone(running.order_by().values_list("runner", flat=True).distinct())
    with transaction.atomic():
        overdue = running.filter(clock.lease_is_over() | Q(runner__in=gone))
        overdue.filter(attempts__gte=MAX_ATTEMPTS).update(state=FAILED, error=GAVE_UP, lease_until=None, runner="")
        overdue.update(state=WAITING, lease_until=None, runner="")
    return Analysis.objects.filter(state=WAITING).count()


def _mine(analysis: Analysis) -> Any:
    return Analysis.objects.filter(
        pk=analysis.pk, state=RUNNING, runner=processes.current(), attempts=analysis.attempts
    )


def _lease() -> Any:
    return clock.from_now(LEASE_S)
