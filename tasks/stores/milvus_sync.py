"""Keep the collection of the active generation in step with the database; a task of the gallery worker.

Searches do not depend on it: what the collection lacks is in the delta or, by its label, compared exactly.
"""

import logging

import numpy as np

from engine.errors import IndexAway
from gallery.index import generations
from gallery.models import Embedding, Image, IndexGeneration
from tasks.search.delta import late_ids
from tasks.stores import chosen
from tasks.stores.milvus_store import MilvusStore, alias_of, components_of, name_of, read

logger = logging.getLogger(__name__)

STEP = 2000  # embeddings added by one task


def sync() -> int:
    """Add new embeddings to the active collection; returns how many. Raises IndexAway."""
    active, store = generations.active(), chosen()
    if active is None or not active.is_synchronised or not isinstance(store, MilvusStore):
        return 0
    try:
        store.milvus.point(alias_of(active), name_of(active))
        _relabel(store)
        return _add_new(active, store)
    except IndexAway:
        store.forget_connection()
        raise


def _relabel(store: MilvusStore) -> None:
    """Write the new labels of pictures into every collection that has them.

    Not during a build: a label that changes during it has to reach the new collection, too.
    """
    labels = dict(Image.objects.filter(is_relabelled=True).values_list("pk", "label")[:STEP])
    if not labels or IndexGeneration.objects.filter(state=generations.BUILDING).exists():
        return
    for generation in IndexGeneration.objects.filter(state=generations.READY):
        if generation.is_synchronised and store.milvus.has(name_of(generation)):
            rows = Embedding.objects.filter(
                model_id=generation.model_id, image__id__in=list(labels), id__lte=generation.last_embedding
            ).order_by("id")
            ids, vectors, _ = read(np.fromiter(rows.values_list("id", flat=True), np.int64))
            store.add(name_of(generation), ids, vectors, components_of(generation))
            store.milvus.known(name_of(generation), ids)
    for label in set(labels.values()):
        same = [pk for pk, one in labels.items() if one == label]
        Image.objects.filter(pk__in=same, label=label).update(is_relabelled=None)


def _add_new(active: IndexGeneration, store: MilvusStore) -> int:
    rows = Embedding.objects.filter(model_id=active.model_id, id__gt=active.last_embedding).order_by("id")
    fresh = np.fromiter(rows.values_list("id", flat=True)[:STEP], np.int64)
    if not len(fresh):
        return 0
    # With those that were committed after ones with higher ids, and are not in the collection yet.
    last = active.last_embedding
    late = Embedding.objects.filter(model_id=active.model_id, id__gt=last - late_ids(), id__lte=last).order_by("id")
    late_rows = np.fromiter(late.values_list("id", flat=True), np.int64)
    missing = np.concatenate([np.setdiff1d(late_rows, store.milvus.known(name_of(active), late_rows)), fresh])
    ids, vectors, _ = read(missing)
    store.add(name_of(active), ids, vectors, components_of(active))
    # A read with strong consistency returns when searches find the rows; only then workers drop them from the delta.
    if len(store.milvus.known(name_of(active), ids)) < len(ids):
        logger.warning("Milvus does not find the added embeddings; they are added again")
        return 0
    generations.synchronised(active, last_embedding=int(fresh[-1]), added=len(ids))
    return len(ids)
