"""Admin actions on many rows: a worker changes them step by step, and the row of the action has the progress.

The last action of an account that hid, showed or labelled pictures can be undone.
"""

import json
import uuid
import zlib
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from gallery.models import BulkAction, Image, Query
from gallery.queries import wakeup

AT_ONCE = 1000  # rows that a request changes itself: a second on a slow disk
STEP = 500  # rows of one task: the next task waits half a second
SHOWN = timedelta(minutes=5)  # a finished action is shown for this long
ID_BYTES = 16

TABLES: dict[str, type[Image | Query]] = {model._meta.model_name or "": model for model in (Image, Query)}
CHANGED_FIELD = {"hide": "is_hidden", "show": "is_hidden", "label": "label"}  # of the actions that can be undone
UNDOABLE = timedelta(hours=1)
KEPT = timedelta(days=1)  # the row of a finished action


def change(action: str, rows: "QuerySet[Any]", by: str, value: str = "") -> tuple[int, bool]:
    """Apply an action to these rows, in a worker if they are many. `value`: the label to set.

    Returns how many rows there are, and whether they are changed already.
    """
    made = BulkAction(table=rows.model._meta.model_name, action=action, requested_by=by)
    made.value = Image.objects.spelled(value)
    if field := CHANGED_FIELD.get(action):
        values = list(rows.order_by().values_list("pk", field))
        made.before = _packed(field, _target(made), values)
        return _start(made, [pk for pk, _ in values])
    return _start(made, list(rows.order_by().values_list("pk", flat=True)))


def undoable(by: str) -> BulkAction | None:
    """Return the last action of this account on pictures, if it can be undone: it hid, showed or labelled them."""
    mine = BulkAction.objects.filter(table="image", requested_by=by, created_at__gt=timezone.now() - UNDOABLE)
    last = mine.exclude(action="delete").defer("rows").order_by("-pk").first()
    return last if last and last.before and last.finished_at and last.action != "undo" else None


def undo(by: str) -> tuple[int, bool]:
    """Undo the last action of this account; returns as `change` does. Pictures that were changed since stay."""
    last = undoable(by)
    if last is None or not BulkAction.objects.filter(pk=last.pk, before__isnull=False).update(before=None):
        return 0, True
    made = BulkAction(table=last.table, action="undo", requested_by=by, before=last.before)
    ids = [uuid.UUID(hex=pk) for _, pks in _unpacked(made)["old"] for pk in pks]
    return _start(made, ids)


def _start(action: BulkAction, ids: list[uuid.UUID]) -> tuple[int, bool]:
    action.total = len(ids)
    if len(ids) <= AT_ONCE:
        with transaction.atomic():
            _apply(action, ids)
            if action.action in CHANGED_FIELD:
                _forget_older(action)
                action.rows, action.done, action.finished_at = b"", len(ids), timezone.now()
                action.save()
        return len(ids), True
    _forget_older(action)
    # The ids of the rows that the curator saw: a filter would also find later ones.
    action.rows = b"".join(row.bytes for row in ids)
    action.save()
    wakeup.wake_workers(wakeup.BULK)
    return len(ids), False


def _forget_older(action: BulkAction) -> None:
    """Forget the old values of earlier actions: only the last action can be undone."""
    BulkAction.objects.filter(requested_by=action.requested_by, finished_at__isnull=False).update(before=None)


def _target(action: BulkAction) -> bool | str:
    return action.value or "" if action.action == "label" else action.action == "hide"


def _apply(action: BulkAction, ids: list[uuid.UUID]) -> None:
    rows = TABLES[action.table]._default_manager.filter(pk__in=ids)
    if action.action == "undo":
        before, wanted = _unpacked(action), {pk.hex for pk in ids}
        for old, pks in before["old"]:
            changed = Image.objects.filter(pk__in=wanted.intersection(pks), **{before["field"]: before["to"]})
            changed.update(**{before["field"]: old})
    elif field := CHANGED_FIELD.get(action.action):
        rows.update(**{field: _target(action)})
    elif action.action != "delete":  # written by the web process of a later version
        raise ValueError(f"unknown action: {action.action}")
    else:
        rows.delete()
        if action.table == "image" and action.done + len(ids) == action.total:
            wakeup.wake_workers(wakeup.CURATE)  # a rebuild may pay


def _packed(field: str, to: bool | str, values: list[tuple[uuid.UUID, Any]]) -> bytes:
    """Return the old values of the rows that change, as `BulkAction.before` keeps them."""
    old: dict[Any, list[str]] = {}
    for pk, value in values:
        if value != to:
            old.setdefault(value, []).append(pk.hex)
    return zlib.compress(json.dumps({"field": field, "to": to, "old": list(old.items())}).encode())


def _unpacked(action: BulkAction) -> dict[str, Any]:
    before: dict[str, Any] = json.loads(zlib.decompress(bytes(action.before or b"")))
    return before


def step() -> bool:
    """Take the next step of the oldest unfinished action; returns False when there is none."""
    action = unfinished().order_by("created_at").first()
    if action:
        take_step(action)
    return action is not None


def take_step(action: BulkAction) -> bool:
    """Change the next STEP rows of this action; returns False if another worker did so first."""
    first, last = action.done * ID_BYTES, (action.done + STEP) * ID_BYTES
    part = bytes(action.rows)[first:last]
    ids = [uuid.UUID(bytes=part[at : at + ID_BYTES]) for at in range(0, len(part), ID_BYTES)]
    done = action.done + len(ids)
    with transaction.atomic():
        is_ours = BulkAction.objects.filter(pk=action.pk, done=action.done).update(done=done)
        if is_ours:
            _apply(action, ids)
        if is_ours and done == action.total:
            BulkAction.objects.filter(pk=action.pk).update(finished_at=timezone.now(), rows=b"")
    return bool(is_ours)


def remove_old() -> int:
    """Delete the rows of actions that finished long ago; returns how many."""
    return BulkAction.objects.filter(finished_at__lt=timezone.now() - KEPT).delete()[0]


def unfinished() -> "QuerySet[BulkAction]":
    """Return the actions that have rows left to change."""
    return BulkAction.objects.filter(finished_at__isnull=True)


def shown(table: str) -> "QuerySet[BulkAction]":
    """Return the running and just finished actions on that table, without their ids; the newest first."""
    recent = Q(finished_at__isnull=True) | Q(finished_at__gt=timezone.now() - SHOWN)
    listed = BulkAction.objects.filter(recent, table=table, total__gt=AT_ONCE)
    return listed.defer("rows", "before").order_by("-created_at")
