"""Change the active model: prepare the other one in the background, then change one row."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from django.conf import settings

from engine.errors import BadIndex
from engine.networks.embedder import Embedder
from gallery.index import embeddings, generations
from gallery.index.generations import IndexStatus
from gallery.models import IndexGeneration
from gallery.operations import workers
from gallery.queries import wakeup
from tasks import stores
from tasks.active_model import kept_weights
from tasks.indexing.build import Tell, build_in_turn
from tasks.indexing.embedding import embed_step

logger = logging.getLogger(__name__)

LOCK = ".switch.lock"


class SwitchError(Exception):
    """The switch is not possible now, and the active model is unchanged; the text is a sentence for a person."""


@contextmanager
def only_one() -> Iterator[None]:
    """Lock out other switches of this data directory. Raises SwitchError while one is running."""
    settings.WEIGHTS_ROOT.mkdir(parents=True, exist_ok=True)
    with (settings.WEIGHTS_ROOT / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SwitchError("Another switch_model is under way; wait for it, then try again.") from error
        yield


def switch(embedder: Embedder, tell: Tell) -> IndexGeneration:
    """Make this model active in one step, with every picture of the gallery.

    Its index is built in the background. A call that is stopped keeps what is built, and the next one goes on.
    Raises generations.BuildFailed.
    """
    generation = _ready(embedder.model_id) or build_in_turn(embedder.model_id, tell)
    while not generations.serve(generation):
        embed_step(embedder, embedder.batch)  # pictures added during the build
    wakeup.wake_workers(wakeup.ANSWER)  # workers load it before the next query comes
    wakeup.wake_workers(wakeup.CURATE)
    return generation


def _ready(model_id: str) -> IndexGeneration | None:
    """Return an earlier complete index of this model, so that going back takes seconds."""
    generation = generations.newest(model_id)
    if generation is None or generations.status_of(generation, model_id) is IndexStatus.STALE:
        return None
    try:
        stores.chosen().open(generation)
    except BadIndex as error:
        logger.warning("the earlier index %s cannot be used again: %s", generation, error)
        return None
    return generation


def prune(keep: set[str]) -> tuple[set[str], set[str]]:
    """Delete the data of all models but the active one and those of `keep`.

    Returns which were deleted, and which were spared because a worker still runs them (or Redis did not answer).
    Raises SwitchError while there is no active one: the data then belong to the first index.
    """
    active_id = generations.active_model_id()
    if active_id is None:
        raise SwitchError("There is no index yet, so there is nothing to delete.")
    known = embeddings.model_ids() | {path.name for path in settings.WEIGHTS_ROOT.glob("*-p*")}
    unwanted = known - keep - {active_id}
    try:
        running = {worker.model_id for worker in workers.alive()}
    except (redis.RedisError, OSError):
        running = unwanted
    for model_id in unwanted - running:
        for generation in embeddings.forget(model_id):
            stores.chosen().remove(generation)
        kept_weights(model_id).unlink(missing_ok=True)
    return unwanted - running, unwanted & running
