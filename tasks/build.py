"""Embeddings -> a new generation -> active."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.errors import BadIndex, IndexAway
from engine.images.fingerprints import Fingerprints
from gallery.curation import generations
from gallery.models import Embedding, IndexGeneration
from gallery.persistence import persist
from tasks import stores
from tasks.delta import Ids, Vectors, to_fingerprints, to_vectors
from tasks.stores import Source

logger = logging.getLogger(__name__)

BLOCK = 1000  # embeddings read at once: 16 MB as float32
Tell = Callable[[str], object]


def build_generation(network: str, tell: Tell = logger.info) -> IndexGeneration:
    """Build a generation of every embedding of `network`, and activate it unless another network serves.

    Raises generations.Busy (another build is under way) and generations.BuildFailed; the active one then stays.
    """
    generation = generations.start(network)
    try:
        # What no row asks for goes: retired generations, and what a killed build left. Only this process is a builder.
        stores.chosen().clean(generations.prune())
        ids = _ids(network)
        manifest = _write(generation, ids, tell)
        generations.activate(generation, images=len(ids), last_embedding=int(ids[-1]), manifest=manifest)
    except (BadIndex, IndexAway) as error:
        generations.fail(generation, str(error))
        raise generations.BuildFailed(str(error)) from error
    except BaseException as error:
        reason = f"The build was stopped ({type(error).__name__})."
        persist(lambda: generations.fail(generation, reason))
        raise
    return generation


def is_outdated(network: str) -> bool:
    """Return whether this network serves from a generation that cannot be opened any more as it is."""
    active = generations.active()
    return active is not None and active.network == network and stores.chosen().is_outdated(active)


def _ids(network: str) -> Ids:
    """Return the ids, ascending. Those of deleted pictures are among them: a file that comes back is found at once."""
    rows = Embedding.objects.filter(network=network).order_by("id").values_list("id", flat=True)
    ids = np.fromiter(rows.iterator(), np.int64)
    if not len(ids):
        raise BadIndex("There is no picture to index yet; add some with manage.py import_images DIR.")
    return ids


def _write(generation: IndexGeneration, ids: Ids, tell: Tell) -> dict[str, Any]:
    told: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        persist(lambda: generations.keep_alive(generation))
        if step not in told:
            told.append(step)
            tell(f"{generation}: {step} ({total})" if total > 1 else f"{generation}: {step}")

    return stores.chosen().write(generation, Source(ids, lambda: _blocks(ids)), progress)


def _blocks(ids: Ids) -> Iterator[tuple[Vectors, Fingerprints]]:
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK].tolist()
        rows = list(Embedding.objects.filter(id__in=part).order_by("id").values_list("vector", "fingerprint"))
        if len(rows) < len(part):
            raise BadIndex("Embeddings were deleted while the index was built; build it again.")
        yield to_vectors([vector for vector, _ in rows]), to_fingerprints([mark for _, mark in rows])
