"""The embeddings of each model: the active one, the one before it, and one that is being prepared."""

from collections.abc import Iterable

from django.db.models import Count, Exists, OuterRef, QuerySet

from gallery.index.generations import BUILDING
from gallery.models import Embedding, Image, IndexGeneration

STEP = 1000  # embeddings deleted at once: searches write in between


def count_by_model() -> dict[str, int]:
    """Return for each model how many gallery pictures it has embedded."""
    rows = Image.objects.order_by().values_list("embeddings__model_id").annotate(count=Count("id"))
    return {model_id: count for model_id, count in rows if model_id}


def forget(model_id: str) -> list[IndexGeneration]:
    """Delete a model's embeddings and finished generations; returns these, whose directories are to go next.

    Never the active one. The caller makes sure that no worker uses this model.
    """
    finished = IndexGeneration.objects.filter(model_id=model_id, is_active=False).exclude(state=BUILDING)
    gone = list(finished)
    finished.delete()
    _delete(Embedding.objects.filter(model_id=model_id))
    return gone


def without_picture() -> "QuerySet[Embedding]":
    """Return the embeddings of pictures that are deleted."""
    return Embedding.objects.filter(~Exists(Image.objects.filter(content_hash=OuterRef("image_id"))))


def forget_deleted(content_hashes: Iterable[str] | None = None) -> None:
    """Delete the embeddings of deleted pictures; of those with one of these hashes, if they are given."""
    rows = without_picture()
    _delete(rows if content_hashes is None else rows.filter(image_id__in=list(content_hashes)))


def _delete(rows: "QuerySet[Embedding]") -> None:
    while ids := list(rows.values_list("id", flat=True)[:STEP]):
        Embedding.objects.filter(id__in=ids).delete()


def model_ids() -> set[str]:
    """Return every model of which there is an embedding or a generation."""
    made = Embedding.objects.order_by().values_list("model_id", flat=True).distinct()
    return set(made) | set(IndexGeneration.objects.order_by().values_list("model_id", flat=True).distinct())
