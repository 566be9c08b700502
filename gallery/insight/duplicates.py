"""Groups of near-duplicates for curators: keep one picture, hide the others, or mark them as different."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from gallery.curation import bulk
from gallery.models import Decision, Duplicate, DuplicateGroup, Image

VISIBLE = Q(members__image__is_hidden=False)
BEST_FIRST = [(F("image__width_px") * F("image__height_px")).desc(), F("image__created_at").asc(), F("image").asc()]


@dataclass(frozen=True)
class Group:
    """A shown group: its visible pictures, the best one first (most pixels, then oldest)."""

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
    for member in members.order_by(*BEST_FIRST):
        images[member.group_id].append(member.image)
    return [Group(row.pk, row.get_kind_display(), images[row.pk]) for row in listed]


def quality(image: Image) -> tuple[int, float, UUID]:
    """Return what sorts the best picture of a group first: most pixels, then oldest. The same as BEST_FIRST."""
    return -image.width_px * image.height_px, image.created_at.timestamp(), image.pk


def hide_others(group: DuplicateGroup, kept: UUID, by: str) -> int:
    """Hide all visible pictures of a group but the one to keep; returns how many."""
    visible = group.images.filter(is_hidden=False)
    if not visible.filter(pk=kept).exists():
        return 0  # the picture to keep was hidden or deleted: a curator has to choose another one
    return bulk.change("hide", visible.exclude(pk=kept), by)[0]


def hide_all_others(kind: str, by: str) -> tuple[int, bool]:
    """Keep the best picture of every group of a kind and hide the others; returns as `bulk.change` does."""
    visible = Duplicate.objects.filter(image__is_hidden=False)
    of_kind = visible.filter(group__kind=kind) if kind else visible
    place = Window(RowNumber(), partition_by="group", order_by=BEST_FIRST)
    others = of_kind.annotate(place=place).filter(place__gt=1)
    return bulk.change("hide", Image.objects.filter(pk__in=others.values("image")), by)


def set_apart(group: DuplicateGroup, by: str) -> None:
    """Record that these pictures are not duplicates of each other, and delete the group."""
    images = [str(pk) for pk in group.images.order_by("pk").values_list("pk", flat=True)]
    with transaction.atomic():
        Decision.objects.create(kind=Decision.Kind.NOT_DUPLICATES, images=images, decided_by=by)
        group.delete()
