"""Index generations as rows: one build at a time, one active generation, switched in one transaction.

The active generation also names the active model: searches are embedded by the model that made it.
"""

from enum import Enum
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from gallery import clock
from gallery.models import Embedding, Image, IndexGeneration
from gallery.operations import processes

BUILDING, READY, FAILED = (
    IndexGeneration.State.BUILDING,
    IndexGeneration.State.READY,
    IndexGeneration.State.FAILED,
)
LEASE_S = 300  # renewed while the build makes progress
REBUILD_SHARE = 0.05  # of the gallery added since the build: above this a rebuild pays
REBUILD_AT_LEAST = 64
KEEP = 3


class IndexStatus(Enum):
    """How current a generation is. Embeddings that it lacks are searched exactly (the delta)."""

    CURRENT = "it has every embedding"
    BEHIND = "it lacks some embeddings"
    STALE = "so many were added or deleted that a rebuild pays, a person requested it, or there is none"
    OTHER_MODEL = "another model is active"


class Busy(Exception):
    """Another build is under way."""


class BuildFailed(Exception):
    """A build that failed; the active generation is unchanged."""


class NotReady(Exception):
    """A generation that cannot be searched; the text is a sentence."""


class NothingToGoBackTo(Exception):
    """There is no earlier generation."""


def active() -> IndexGeneration | None:
    """Return the active generation, or None while there is no index."""
    return IndexGeneration.objects.filter(is_active=True).first()


def active_model_id() -> str | None:
    """Return the id of the active model; None while there is no index."""
    generation = active()
    return generation.model_id if generation else None


def described(generation: IndexGeneration | None) -> str:
    """Return a generation in words, for people at a terminal."""
    return f"{generation} with {generation.images} pictures by {generation.model_id}" if generation else "none"


def newer_than(generation: IndexGeneration | None, model_id: str) -> int:
    """Return how many embeddings of this model the generation does not contain."""
    rows = Embedding.objects.filter(model_id=model_id)
    if generation and generation.model_id == model_id:
        rows = rows.filter(id__gt=generation.last_embedding)
    return rows.count()


def status(model_id: str) -> IndexStatus:
    """Return how current the active generation is for the embeddings of this model."""
    generation = active()
    if generation and generation.model_id != model_id:
        return IndexStatus.OTHER_MODEL
    return status_of(generation, model_id)


def status_of(generation: IndexGeneration | None, model_id: str) -> IndexStatus:
    """Return the same for any generation of the model, or for none."""
    newer = newer_than(generation, model_id)
    if generation is None:
        return IndexStatus.STALE if newer else IndexStatus.CURRENT
    enough = max(REBUILD_AT_LEAST, REBUILD_SHARE * generation.images)
    if generation.is_rebuild_requested or (newer >= enough and not generation.is_synchronised):
        return IndexStatus.STALE
    if deleted_from(generation) >= enough:
        return IndexStatus.STALE
    return IndexStatus.BEHIND if newer else IndexStatus.CURRENT


def deleted_from(generation: IndexGeneration) -> int:
    """Return how many embeddings of the generation belong to pictures that were deleted since it was built."""
    rows = Embedding.objects.filter(model_id=generation.model_id, id__lte=generation.last_embedding)
    return max(0, generation.images - rows.count())


def has_new_pictures() -> bool:
    """Return whether a picture waits to be decoded or embedded, or a rebuild pays. True while there is no index."""
    model_id = active_model_id()
    images = Image.objects
    if model_id is None or images.pending().exists() or images.not_embedded(model_id).exists():
        return True
    return status(model_id) is IndexStatus.STALE


def request_rebuild() -> bool:
    """Record that a person wants a newer index in place of the active one; False while there is none.

    The request ends with the next build, or when another generation is chosen.
    """
    return bool(IndexGeneration.objects.filter(is_active=True).update(is_rebuild_requested=True))


def is_rebuild_requested() -> bool:
    """Return whether a person waits for a newer index."""
    return IndexGeneration.objects.filter(is_rebuild_requested=True).exists()


def is_overdue(model_id: str) -> bool:
    """Return whether an index is to be built and nobody has begun: the message may be lost. Counts all embeddings.

    After a failed build a newer picture or a person's request starts the next one.
    """
    newest = IndexGeneration.objects.first()
    has_failed = newest is not None and newest.state == FAILED
    return status(model_id) is IndexStatus.STALE and (not has_failed or is_rebuild_requested())


def start(model_id: str) -> IndexGeneration:
    """Take the build lock. Raises Busy while another build holds it (its process lives, or its lease runs)."""
    gone = processes.gone(_building().values_list("builder", flat=True))
    for other in _building().filter(clock.lease_is_over() | Q(builder__in=gone)):
        fail(other, "The build was stopped before it was finished.")
    try:
        with transaction.atomic():
            return IndexGeneration.objects.create(model_id=model_id, builder=processes.current(), lease_until=_lease())
    except IntegrityError as error:
        raise Busy("Another build of the index is under way; wait for it, then try again.") from error


def keep_alive(generation: IndexGeneration) -> None:
    """Renew the lease. Raises Busy if another build has taken the lock."""
    if not _building().filter(pk=generation.pk).update(lease_until=_lease()):
        raise Busy("This build took too long between two steps and another one took its place.")


def activate(generation: IndexGeneration, *, images: int, last_embedding: int, manifest: dict[str, Any]) -> None:
    """Make a finished build the one that workers search. While another model is active it is only stored, ready."""
    with transaction.atomic():
        if (
            not _building()
            .filter(pk=generation.pk)
            .update(state=READY, images=images, last_embedding=last_embedding, manifest=manifest, lease_until=None)
        ):
            raise Busy("Another build took the place of this one.")
        _hold_the_active_one()
        if active_model_id() in (None, generation.model_id):
            _switch_to(generation)
    generation.refresh_from_db()


def synchronised(generation: IndexGeneration, *, last_embedding: int, added: int) -> bool:
    """Record that a generation has every embedding up to this one; False if another process was first."""
    before = IndexGeneration.objects.filter(pk=generation.pk, last_embedding=generation.last_embedding)
    return bool(before.update(last_embedding=last_embedding, images=F("images") + added))


def serve(generation: IndexGeneration) -> bool:
    """Make a ready generation the active one, and with it its model.

    False, and nothing is changed, while that model has not embedded every picture: none is lost by the change.
    """
    with transaction.atomic():
        _hold_the_active_one()
        if Image.objects.not_embedded(generation.model_id).exists():
            return False
        _switch_to(generation)
    return True


def newest(model_id: str) -> IndexGeneration | None:
    """Return the newest ready generation of this model."""
    return IndexGeneration.objects.filter(state=READY, model_id=model_id).first()


def choose(generation: IndexGeneration) -> None:
    """Make a ready generation the active one, be it older or newer. Raises NotReady."""
    if generation.state != READY:
        raise NotReady("Only a generation that is ready can be searched.")
    if generation.model_id == active_model_id():
        _switch_to(generation)
    elif not serve(generation):
        raise NotReady("Its model has not embedded every picture; manage.py switch_model does that first.")


def roll_back() -> IndexGeneration:
    """Make the newest ready generation before the active one active again. Raises NothingToGoBackTo."""
    now = active()
    earlier = IndexGeneration.objects.filter(state=READY, number__lt=now.number, model_id=now.model_id) if now else None
    previous = earlier.first() if earlier is not None else None
    if previous is None:
        raise NothingToGoBackTo("There is no earlier generation of this model to go back to.")
    _switch_to(previous)
    return previous


def _hold_the_active_one() -> None:
    """Lock the active generation until the transaction ends, so that switches happen one after the other."""
    list(IndexGeneration.objects.select_for_update().filter(is_active=True))


def _switch_to(generation: IndexGeneration) -> None:
    with transaction.atomic():
        # Two switches run one after the other: on PostgreSQL the second would not see the first one's row.
        list(IndexGeneration.objects.order_by("number").select_for_update())
        IndexGeneration.objects.filter(is_active=True).update(is_active=False, is_rebuild_requested=None)
        IndexGeneration.objects.filter(pk=generation.pk).update(is_active=True, activated_at=timezone.now())
        generation.refresh_from_db()  # if it was deleted, the active one stays


def fail(generation: IndexGeneration, reason: str) -> None:
    """Mark a build as failed, with its reason. It ends a request: what failed is not tried for ever."""
    _building().filter(pk=generation.pk).update(state=FAILED, error=reason[:500], lease_until=None)
    IndexGeneration.objects.filter(is_rebuild_requested=True).update(is_rebuild_requested=None)


def prune() -> set[int]:
    """Forget all but the active one, the newest three that are ready and the newest three that failed.

    The newest of another model stays too: a change back to it is then a matter of seconds.
    Returns the numbers of those whose directories are still wanted.
    """
    ready, failed = (IndexGeneration.objects.filter(state=state) for state in (READY, FAILED))
    kept = {generation.number for generation in (*ready[:KEEP], *failed[:KEEP])}
    kept |= set(ready.order_by().values("model_id").annotate(newest=Max("number")).values_list("newest", flat=True))
    IndexGeneration.objects.exclude(number__in=kept).exclude(state=BUILDING).exclude(is_active=True).delete()
    return wanted()


def wanted() -> set[int]:
    """Return the numbers of the generations whose files are wanted."""
    return set(IndexGeneration.objects.filter(state__in=[READY, BUILDING]).values_list("number", flat=True))


def _building() -> "QuerySet[IndexGeneration]":
    return IndexGeneration.objects.filter(state=BUILDING)


def _lease() -> Any:
    return clock.from_now(LEASE_S)
