"""Embed new gallery pictures; build and activate index generations."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from celery import shared_task

from engine import images
from engine.embedder import Embedder
from engine.errors import BadImage
from gallery import doorbell, generations
from gallery.models import Embedding, Image
from gallery.persistence import AWAY
from tasks import worker as workers
from tasks.build import build_generation

logger = logging.getLogger(__name__)

STEP = 32  # pictures a task embeds before it lets the next task in line go first
DECODE_THREADS = 2


@shared_task(name=doorbell.CURATE, time_limit=300, throws=AWAY)
def curate() -> int:
    """Embed one step of new pictures and ring again while there are more; the result is how many it embedded."""
    embedder = workers.current().embedder
    done = embed_step(embedder, STEP)
    if done:
        doorbell.ring(doorbell.CURATE)
    elif generations.is_stale(embedder.network):
        doorbell.ring(doorbell.REBUILD)
    return done


@shared_task(name=doorbell.REBUILD, time_limit=3600)
def rebuild() -> str:
    """Build if that still pays: every added picture may have rung, and the first ring was enough."""
    network = workers.current().embedder.network
    return build_and_tell(network) if generations.is_stale(network) else "There is too little new to rebuild."


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


def embed_step(embedder: Embedder, limit: int) -> int:
    """Embed up to `limit` pictures that have no embedding by this network; returns how many were looked at.

    A picture that cannot be read is marked with its problem and not tried again.
    """
    new = list(Image.objects.not_embedded(embedder.network).order_by("created_at")[:limit])
    prepared: list[tuple[Image, torch.Tensor]] = []
    for image, result in zip(new, _decode_all(embedder, new), strict=True):
        if isinstance(result, BadImage):
            logger.warning("gallery picture %s cannot be embedded: %s", image.pk, result)
            Image.objects.filter(pk=image.pk).update(problem=str(result)[:200])
        else:
            prepared.append((image, result))
    _keep(embedder, prepared)
    return len(new)


def embed_all(embedder: Embedder, batch: int, advance: Callable[[int], object]) -> None:
    """Embed every picture that has no embedding by this network; those that come meanwhile too."""
    while done := embed_step(embedder, batch):
        advance(done)


def _decode_all(embedder: Embedder, new: Sequence[Image]) -> Iterator[torch.Tensor | BadImage]:
    def decode(image: Image) -> torch.Tensor | BadImage:
        try:
            data = image.picture_path.read_bytes()
            return embedder.prepare(images.decode(data, at_least_px=embedder.at_least_px))
        except OSError:
            return BadImage("gone", "Its file is missing.")
        except BadImage as error:
            return error

    with ThreadPoolExecutor(DECODE_THREADS) as threads:
        yield from threads.map(decode, new)


def _keep(embedder: Embedder, prepared: Sequence[tuple[Image, torch.Tensor]]) -> None:
    vectors = embedder.embed_prepared([picture for _, picture in prepared]).astype(np.dtype("<f2"))
    # Two processes may embed the same picture; the second changes nothing.
    Embedding.objects.bulk_create(
        (
            Embedding(image_id=image.content_hash, network=embedder.network, vector=vector.tobytes())
            for (image, _), vector in zip(prepared, vectors, strict=True)
        ),
        ignore_conflicts=True,
    )
