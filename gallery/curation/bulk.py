"""Admin actions on many rows: a worker changes them step by step, and the row of the action says how far it is."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from gallery.curation import library
from gallery.models import BulkAction, Image, Query
from gallery.queries import wakeup

AT_ONCE = 1000  # rows that a request changes by itself: a second on a slow disk
STEP = 500  # rows of one task: the next task in line waits half a second
SHOWN = timedelta(minutes=5)  # a finished action stays in its list for so long
ID_BYTES = 16

TABLES: dict[str, type[Image | Query]] = {model._meta.model_name or "": model for model in (Image, Query)}
CHANGES: dict[str, Callable[["QuerySet[Any]"], object]] = {
    "delete": lambda rows: library.remove(rows) if rows.model is Image else rows.delete(),
    "hide": lambda rows: rows.update(is_hidden=True),
    "show": lambda rows: rows.update(is_hidden=False),
}


def change(action: str, rows: "QuerySet[Any]", by: str) -> tuple[int, bool]:
    """Apply an action to these rows, or leave it to a worker when they are many.

    Returns how many rows there are, and whether they are changed already.
    """
    ids: list[uuid.UUID] = list(rows.order_by().values_list("pk", flat=True))
    if len(ids) <= AT_ONCE:
        CHANGES[action](_rows(rows.model, ids))
        return len(ids), True
    # The rows that the curator saw, by their ids: a filter would also find those added since.
    BulkAction.objects.create(
        table=rows.model._meta.model_name,
        action=action,
        rows=b"".join(row.bytes for row in ids),
        total=len(ids),
        requested_by=by,
    )
    wakeup.wake_workers(wakeup.BULK)
    return len(ids), False


def step() -> bool:
    """Take the next step of the oldest unfinished action; returns False when there is none."""
    action = unfinished().order_by("created_at").first()
    if action:
        take_step(action)
    return action is not None


def take_step(action: BulkAction) -> bool:
    """Change the next STEP rows of this action; returns False if another worker did it since the action was read."""
    first, last = action.done * ID_BYTES, (action.done + STEP) * ID_BYTES
    part = bytes(action.rows)[first:last]
    ids = [uuid.UUID(bytes=part[at : at + ID_BYTES]) for at in range(0, len(part), ID_BYTES)]
    done = action.done + len(ids)
    with transaction.atomic():
        is_ours = BulkAction.objects.filter(pk=action.pk, done=action.done).update(done=done)
        if is_ours:
            CHANGES[action.action](_rows(TABLES[action.table], ids))
        if is_ours and done == action.total:
            BulkAction.objects.filter(pk=action.pk).update(finished_at=timezone.now(), rows=b"")
    return bool(is_ours)


def unfinished() -> "QuerySet[BulkAction]":
    """Return the actions that have rows left to change."""
    return BulkAction.objects.filter(finished_at__isnull=True)


def shown(table: str) -> "QuerySet[BulkAction]":
    """Return the actions on that table which run or have just finished, without their ids; the newest first."""
    recent = Q(finished_at__isnull=True) | Q(finished_at__gt=timezone.now() - SHOWN)
    return BulkAction.objects.filter(recent, table=table).defer("rows").order_by("-created_at")


def _rows(table: type[Model], ids: list[uuid.UUID]) -> "QuerySet[Any]":
    return table._default_manager.filter(pk__in=ids)
