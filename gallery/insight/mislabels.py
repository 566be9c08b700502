"""Pictures whose neighbours mostly have another label: take that label, or confirm the present one."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from gallery.models import Decision, Image, Suspect

SHOWN = 6  # neighbours of each


@dataclass(frozen=True)
class Shown:
    """A shown suspect: its picture and the nearest others that are visible."""

    suspect: Suspect
    neighbours: list[Image]


def suspects() -> QuerySet[Suspect]:
    """Return the visible pictures that still have the suspicious label, the most suspicious first."""
    rows = Suspect.objects.filter(image__is_hidden=False, image__label=F("label"))
    return rows.select_related("image").order_by("-suspicion", "pk")


def shown(rows: Iterable[Suspect]) -> list[Shown]:
    """Return suspects with their neighbours, in one statement more."""
    listed = list(rows)
    near = {row.pk: [UUID(image) for image in row.neighbours[: 2 * SHOWN]] for row in listed}
    images = Image.objects.visible().in_bulk({image for ids in near.values() for image in ids})
    return [Shown(row, [images[id_] for id_ in near[row.pk] if id_ in images][:SHOWN]) for row in listed]


def take_label(suspect: Suspect, label: str = "") -> str:
    """Give the picture its neighbours' label, or this one, spelled as other pictures have it.

    Returns that label; nothing if the picture has another one than the suspicious label by now.
    """
    with transaction.atomic():
        label = Image.objects.exclude(pk=suspect.image_id).spelled(label or suspect.suggestion)
        is_done = Image.objects.filter(pk=suspect.image_id, label=suspect.label).update(label=label)
        suspect.delete()
    return label if is_done else ""


def confirm_label(suspect: Suspect, by: str) -> None:
    """Record that this label is right for this picture."""
    with transaction.atomic():
        kind, images = Decision.Kind.LABEL_IS_RIGHT, [str(suspect.image_id)]
        Decision.objects.create(kind=kind, images=images, label=suspect.label, decided_by=by)
        suspect.delete()
