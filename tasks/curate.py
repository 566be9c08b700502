"""Embed new gallery pictures; build and activate index generations."""

import logging

from celery import shared_task

from gallery import doorbell, generations
from gallery.persistence import AWAY
from tasks import worker as workers
from tasks.build import build_generation, is_outdated
from tasks.embedding import embed_step

logger = logging.getLogger(__name__)

STEP = 32  # pictures a task embeds before it lets the next task in line go first


@shared_task(name=doorbell.CURATE, time_limit=300, throws=AWAY)
def curate() -> int:
    """Embed one step of new pictures and ring again while there are more; the result is how many it embedded."""
    embedder = workers.current().embedder
    done = embed_step(embedder, STEP)
    if done:
        logger.info("embedded %d gallery pictures", done)
        doorbell.ring(doorbell.CURATE)
    elif generations.is_stale(embedder.network):
        doorbell.ring(doorbell.REBUILD)
    return done


@shared_task(name=doorbell.REBUILD, time_limit=3600)
def rebuild() -> str:
    """Build if that still pays: every added picture may have rung, and the first ring was enough."""
    network = workers.current().embedder.network
    pays = generations.is_stale(network) or is_outdated(network)
    return build_and_tell(network) if pays else "There is too little new to rebuild."


@shared_task(name=doorbell.BUILD, time_limit=3600)
def build() -> str:
    """Build and activate a new generation, whatever it brings; the result is a sentence about it."""
    return build_and_tell(workers.current().embedder.network)


def build_and_tell(network: str) -> str:
    """Build and activate a new generation; returns a sentence about it."""
    try:
        generation = build_generation(network)
    except (generations.Busy, generations.BuildFailed) as error:
        return str(error)
    return f"{generation} with {generation.images} pictures is active"
