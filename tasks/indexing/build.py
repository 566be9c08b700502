"""From new pictures to an active index: decode, embed, build, activate.

The tasks run `curate_step` and `rebuild_if_due`; manage.py build_index runs `index`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.errors import BadIndex, EngineError, IndexAway
from engine.images.fingerprints import Fingerprints
from engine.index.protocol import Ids
from engine.index.ranking import Vectors
from gallery.curation import importing
from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.insight import analyses
from gallery.models import Embedding, Image, IndexGeneration
from gallery.persistence import persist
from gallery.queries import wakeup
from tasks import stores
from tasks.active_model import is_outdated, load_active, retired_notice
from tasks.indexing.embedding import LOOK_EVERY_S, Stalled, embed_elsewhere, embed_missing, embed_step
from tasks.search.delta import read_rows, to_fingerprints, to_vectors
from tasks.stores import EmbeddingSource
from tasks.worker import current

logger = logging.getLogger(__name__)

STEP = 32  # pictures of one task, before the next task of the queue runs
BLOCK = 1000  # embeddings read at once: 16 MB as float32
TRIES = 3  # of a build that starts again because pictures were deleted
Tell = Callable[[str], object]


# --- The tasks of the gallery queue -------------------------------------------------------------------------------


def curate_step() -> int:
    """Decode and embed one step of new pictures, and send a message for the next; returns how many were embedded."""
    try:
        decoded = importing.decode_pending(STEP)
    except OSError as error:  # the next sweep tries again
        logger.warning("uploaded gallery pictures stay pending: %s", error)
        decoded = 0
    embedder = current().embedder
    done = embed_step(embedder, STEP)
    if done:
        logger.info("embedded %d gallery pictures", done)
    if done or decoded:
        wakeup.wake_workers(wakeup.CURATE)
    elif generations.status(embedder.model_id) is IndexStatus.STALE:
        wakeup.wake_workers(wakeup.REBUILD)
    return done


def rebuild_if_due() -> str:
    """Build and activate a new generation if one was requested or enough is new; returns a sentence about it."""
    model_id = current().embedder.model_id
    if generations.status(model_id) is not IndexStatus.STALE and not is_outdated(model_id):
        return "There is too little new to rebuild."
    try:
        generation = build_generation(model_id)
    except (generations.Busy, generations.BuildFailed) as error:
        return str(error)
    analyses.request_again()
    return f"{generation} with {generation.images} pictures is active"


# --- manage.py build_index ----------------------------------------------------------------------------------------


class NotIndexed(Exception):
    """No new index was built, and the active one is unchanged; the text is a sentence."""


def index(tell: Tell, *, distributed: bool) -> str:
    """Embed what has no embedding and build a generation of everything; returns a sentence about it.

    `distributed`: have it embedded by the workers of the gallery queue. Raises NotIndexed.
    """
    try:
        embedder = load_active()
        if notice := retired_notice():
            missing = Image.objects.not_embedded(embedder.model_id).count()
            tell(f"{notice} Embedding its {missing} pictures with {embedder.name} and building a new index.")
        if distributed:
            embed_elsewhere(embedder.model_id)
            generation = build_in_turn(embedder.model_id, tell)
        else:
            embed_missing(embedder)
            generation = build_generation(embedder.model_id, tell)
    except (EngineError, generations.Busy, generations.BuildFailed, Stalled) as error:
        raise NotIndexed(str(error)) from error
    state = "Active" if generation.is_active else "Kept, because another model is active now"
    return f"{state}: {generations.described(generation)}."


def plan() -> str:
    """Return a sentence on what `index` would do. Raises NotIndexed."""
    try:
        embedder = load_active()
    except EngineError as error:
        raise NotIndexed(str(error)) from error
    missing, active = Image.objects.not_embedded(embedder.model_id).count(), generations.active()
    planned = (
        f"{missing} of {Image.objects.count()} pictures would be embedded by {embedder.model_id} on "
        f"{embedder.device}, then a new generation built (active: {generations.described(active)})."
    )
    return f"{retired_notice()} {planned}".strip()


# --- A generation -------------------------------------------------------------------------------------------------


def build_generation(model_id: str, tell: Tell = logger.info) -> IndexGeneration:
    """Build a generation of every embedding by this model, and activate it unless another one is active.

    Raises generations.Busy (another build is under way) and generations.BuildFailed; the active one then stays.
    """
    generation = generations.start(model_id)
    try:
        # Delete retired generations and the rest of killed builds. Only this process builds.
        stores.chosen().clean(generations.prune())
        ids, manifest = _write_all(generation, tell)
        generations.activate(generation, images=len(ids), last_embedding=int(ids[-1]), manifest=manifest)
    except (BadIndex, IndexAway) as error:
        generations.fail(generation, str(error))
        raise generations.BuildFailed(str(error)) from error
    except BaseException as error:
        reason = f"The build was stopped ({type(error).__name__})."
        persist(lambda: generations.fail(generation, reason))
        raise
    return generation


def build_in_turn(model_id: str, tell: Tell) -> IndexGeneration:
    """Wait for another build and then build: a worker that has embedded the last picture may have begun one.

    Raises generations.BuildFailed.
    """
    is_waiting = False
    while True:
        try:
            return build_generation(model_id, tell)
        except generations.Busy:
            if not is_waiting:
                tell("Another build of the index is under way; this one begins when it has ended.")
            is_waiting = True
            time.sleep(LOOK_EVERY_S)


class _Deleted(BadIndex):
    """Pictures were deleted while they were written."""


def _write_all(generation: IndexGeneration, tell: Tell) -> tuple[Ids, dict[str, Any]]:
    """Write the index of all embeddings; returns their ids, ascending."""
    rows = Embedding.objects.filter(model_id=generation.model_id).order_by("id").values_list("id", flat=True)
    tries = 0
    while True:
        ids = np.fromiter(rows.iterator(), np.int64)
        if not len(ids):
            raise BadIndex("There is no picture to index yet; add some with manage.py import_images DIR.")
        tries += 1
        try:
            return ids, _write(generation, ids, tell)
        except _Deleted:
            if tries == TRIES:
                raise


def _write(generation: IndexGeneration, ids: Ids, tell: Tell) -> dict[str, Any]:
    messages: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        persist(lambda: generations.keep_alive(generation))
        if step not in messages:
            messages.append(step)
            tell(f"Index {generation}: {step}" + (f" ({total})" if total > 1 else ""))

    return stores.chosen().write(generation, EmbeddingSource(ids, lambda: _blocks(ids)), progress)


def _blocks(ids: Ids) -> Iterator[tuple[Vectors, Fingerprints]]:
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK].tolist()
        rows = read_rows(part)
        if len(rows) < len(part):
            raise _Deleted("Pictures were deleted while the index was built; build it again.")
        yield to_vectors([vector for _, vector, _ in rows]), to_fingerprints([mark for _, _, mark in rows])
