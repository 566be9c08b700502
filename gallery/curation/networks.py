"""The data of each model: the active one, the one before it, and one that is being prepared."""

from django.db.models import Count

from gallery.curation.generations import BUILDING
from gallery.models import Embedding, Image, IndexGeneration

STEP = 1000  # embeddings deleted at once: searches write in between


def embedded() -> dict[str, int]:
    """Return for each model how many gallery pictures it has embedded."""
    rows = Image.objects.order_by().values_list("embeddings__network").annotate(count=Count("id"))
    return {network: count for network, count in rows if network}


def forget(network: str) -> list[IndexGeneration]:
    """Delete a network's embeddings and finished generations; returns these, whose directories are to go next.

    Never the active one. The caller makes sure that no worker uses this model.
    """
    finished = IndexGeneration.objects.filter(network=network, is_active=False).exclude(state=BUILDING)
    gone = list(finished)
    finished.delete()
    rows = Embedding.objects.filter(network=network)
    while ids := list(rows.values_list("id", flat=True)[:STEP]):
        Embedding.objects.filter(id__in=ids).delete()
    return gone


def known() -> set[str]:
    """Return every network of which there is an embedding or a generation."""
    made = Embedding.objects.order_by().values_list("network", flat=True).distinct()
    return set(made) | set(IndexGeneration.objects.order_by().values_list("network", flat=True).distinct())
