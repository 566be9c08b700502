"""Groups of near-duplicates as a curator works through them: keep one, hide the others, or say that they are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from gallery.curation import bulk
from gallery.models import Decision, Duplicate, DuplicateGroup, Image

VISIBLE = Q(members__image__is_hidden=False)


@dataclass(frozen=True)
class Group:
    """A group as it is shown: its visible pictures, the best one first (most pixels, then oldest)."""

    id: int
    kind: str
    images: list[Image]


def groups(kind: str = "") -> QuerySet[DuplicateGroup]:
    """Return the groups that still have two visible pictures, the most pictures first."""
    rows = DuplicateGroup.objects.annotate(visible=Count("members", filter=VISIBLE)).filter(visible__gte=2)
    return (rows.filter(kind=kind) if kind else rows).order_by("-visible", "id")


def by_kind() -> dict[str, int]:
    """Return how many groups there are of each kind."""
    kinds = list(groups().values_list("kind", flat=True))
    return {kind: kinds.count(kind) for kind in DuplicateGroup.Kind.values if kind in kinds}


def shown(rows: Iterable[DuplicateGroup]) -> list[Group]:
    """Return groups with their visible pictures, in two statements."""
    listed = list(rows)
    members = Duplicate.objects.filter(group__in=listed, image__is_hidden=False).select_related("image")
    images: dict[int, list[Image]] = {row.pk: [] for row in listed}
    for member in members:
        images[member.group_id].append(member.image)
    return [Group(row.pk, row.get_kind_display(), sorted(images[row.pk], key=quality)) for row in listed]


def quality(image: Image) -> tuple[int, float]:
    """Return what sorts the best picture of a group first: most pixels, then oldest."""
    return -image.width_px * image.height_px, image.created_at.timestamp()


def hide_others(group: DuplicateGroup, kept: UUID, by: str) -> int:
    """Hide the visible pictures of a group but the one that is kept; returns how many."""
    visible = group.images.filter(is_hidden=False)
    if not visible.filter(pk=kept).exists():
        return 0  # the picture to keep was hidden or deleted: another one has to be chosen
    return bulk.change("hide", visible.exclude(pk=kept), by)[0]


def hide_all_others(kind: str, by: str) -> tuple[int, bool]:
    """Keep the best picture of every group of a kind and hide the others; returns as `bulk.change` does."""
    others = [image.pk for group in shown(groups(kind)) for image in group.images[1:]]
    return bulk.change("hide", Image.objects.filter(pk__in=others), by)


def set_apart(group: DuplicateGroup, by: str) -> None:
    """Remember that these pictures are no duplicates of each other; the group goes."""
    images = [str(pk) for pk in group.images.order_by("pk").values_list("pk", flat=True)]
    with transaction.atomic():
        Decision.objects.create(kind=Decision.Kind.NOT_DUPLICATES, images=images, decided_by=by)
        group.delete()
