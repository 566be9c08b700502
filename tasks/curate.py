"""Decode and embed new gallery pictures; build and activate index generations."""

import logging

from gallery.curation import generations, importing
from gallery.curation.generations import IndexStatus
from gallery.insight import analyses
from gallery.queries import wakeup
from tasks import worker as workers
from tasks.build import build_generation, is_outdated
from tasks.embedding import embed_step

logger = logging.getLogger(__name__)

STEP = 32  # pictures a task takes before it lets the next task in line go first


def curate_step() -> int:
    """Decode and embed one step of new pictures and come again while there are more; returns how many were embedded."""
    decoded = _decode_step()
    embedder = workers.current().embedder
    done = embed_step(embedder, STEP)
    if done:
        logger.info("embedded %d gallery pictures", done)
    if done or decoded:
        wakeup.wake_workers(wakeup.CURATE)
    elif generations.status(embedder.network) is IndexStatus.STALE:
        wakeup.wake_workers(wakeup.REBUILD)
    return done


def _decode_step() -> int:
    try:
        return importing.decode_pending(STEP)
    except OSError as error:  # the sweep comes again
        logger.warning("uploaded gallery pictures stay pending: %s", error)
        return 0


def rebuild_if_it_pays() -> str:
    """Build a new generation if enough is newer than the active one; returns a sentence about it."""
    network = workers.current().embedder.network
    pays = generations.status(network) is IndexStatus.STALE or is_outdated(network)
    return build_and_tell(network) if pays else "There is too little new to rebuild."


def build_generation_of_all() -> str:
    """Build and activate a new generation by the network that serves; returns a sentence about it."""
    return build_and_tell(workers.current().embedder.network)


def build_and_tell(network: str) -> str:
    """Build and activate a new generation; returns a sentence about it."""
    try:
        generation = build_generation(network)
    except (generations.Busy, generations.BuildFailed) as error:
        return str(error)
    analyses.request_again()
    return f"{generation} with {generation.images} pictures is active"
