"""Find groups of near-duplicates in the gallery: the best picture of each, and its copies."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from engine.images.fingerprints import is_mirrored
from gallery.insight.duplicates import quality
from gallery.models import Decision, Duplicate, DuplicateGroup, Image
from tasks.insight.surroundings import Advance, EmbeddedPictures

Kind = DuplicateGroup.Kind
SAME_SHAPE = 0.02  # tolerance of the aspect ratio of a copy: a thumbnail's sides are rounded
COPY = 0.93  # the cosine from which a picture of the same shape is the same one, saved again or resized
ROWS = 10_000  # ids of one statement


@dataclass(frozen=True)
class FoundGroup:
    """The best picture, and its copies with their cosines."""

    kind: Kind
    best: UUID
    copies: dict[UUID, float]


def find(gallery: EmbeddedPictures, advance: Advance) -> list[FoundGroup]:
    """Return the groups, the most similar pictures first.

    Each picture belongs to the best one that it is a near-duplicate of, so a curator who hides the others of a group
    still shows each of them. Pictures that a curator has set apart are in no group together.
    """
    found = {one.image: dict(one.copies) for one in gallery.surroundings(advance) if one.copies}
    images = {image.pk: image for image in _rows(list(found))}
    apart: dict[UUID, set[int]] = defaultdict(set)  # of each picture the decisions that set it apart from others
    for decision in Decision.objects.filter(kind=Decision.Kind.NOT_DUPLICATES):
        for named in decision.images:
            apart[UUID(named)].add(decision.pk)
    groups: list[FoundGroup] = []
    taken: set[UUID] = set()
    for best in sorted(images.values(), key=quality):
        if best.pk not in taken:
            free = {other: cosine for other, cosine in found[best.pk].items() if other in images and other not in taken}
            copies = {other: cosine for other, cosine in free.items() if not apart[other] & apart[best.pk]}
            taken |= {best.pk, *copies} if copies else set()
            groups += [FoundGroup(_kind(gallery, images, best, copies), best.pk, copies)] if copies else []
    return sorted(groups, key=lambda group: -max(group.copies.values()))


def keep(groups: list[FoundGroup]) -> dict[str, int]:
    """Replace the rows of the last analysis; returns the counts that the page shows. In a transaction."""
    DuplicateGroup.objects.all().delete()
    rows = DuplicateGroup.objects.bulk_create([DuplicateGroup(kind=group.kind) for group in groups])
    members = [
        (row, image, cosine)
        for row, group in zip(rows, groups, strict=True)
        for image, cosine in [(group.best, 1.0), *group.copies.items()]
    ]
    there = {image.pk for image in _rows([image for _, image, _ in members])}  # the others were deleted
    Duplicate.objects.bulk_create(
        Duplicate(group=row, image_id=image, similarity=cosine) for row, image, cosine in members if image in there
    )
    return {"groups": len(groups), "copies": sum(len(group.copies) for group in groups)}


def _rows(pks: list[UUID]) -> list[Image]:
    """Return the pictures that still exist and are visible."""
    rows: list[Image] = []
    for start in range(0, len(pks), ROWS):
        rows += Image.objects.visible().filter(pk__in=pks[start : start + ROWS])
    return rows


def _kind(gallery: EmbeddedPictures, images: dict[UUID, Image], best: Image, copies: dict[UUID, float]) -> Kind:
    """Return the kind of the copies; for several the one that needs the closest look."""
    kinds = []
    for copy, cosine in copies.items():
        shapes = [image.width_px / image.height_px for image in (best, images[copy])]
        is_same_shape = max(shapes) <= (1 + SAME_SHAPE) * min(shapes)
        if is_mirrored(*gallery.fingerprint([best.pk, copy])):
            kinds.append(Kind.MIRRORED)
        else:
            kinds.append(Kind.COPY if is_same_shape and cosine >= COPY else Kind.ALTERED)
    return max(kinds, key=list(Kind).index)
