"""Embed gallery pictures that have no embedding yet."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import torch
from celery import current_app

from engine.decoders.pool import DECODERS
from engine.errors import BadImage
from engine.images.fingerprints import fingerprint
from engine.index.ranking import Vectors
from engine.networks.embedder import Embedder, picture
from gallery.curation import pictures
from gallery.curation.progress import Progress
from gallery.index import embeddings
from gallery.models import Embedding, Image
from gallery.queries import wakeup
from gallery.storage import files

logger = logging.getLogger(__name__)

# The pictures of this many steps are shuffled, so that parallel workers seldom take the same ones.
WINDOW = 16
EMBEDDING = "Embedding"  # title of the progress bar


@dataclass(frozen=True)
class Looked:
    """The result of embedding some pictures: embeddings and fingerprints in order, and errors of unreadable ones."""

    images: Sequence[Image]
    vectors: Vectors
    fingerprints: Sequence[bytes]
    unreadable: dict[Image, BadImage]


def embed_step(embedder: Embedder, limit: int) -> int:
    """Embed up to `limit` pictures that have no embedding by this model; returns how many were looked at.

    A picture that cannot be read is marked with its problem and not tried again.
    """
    step = _oldest(embedder.model_id, limit * WINDOW, set())[:limit]
    return _keep(embedder.model_id, _look(embedder, step, nullcontext()))


def embed_missing(embedder: Embedder) -> None:
    """Embed every picture that has no embedding by this model, in this process and with a progress bar."""
    if missing := Image.objects.not_embedded(embedder.model_id).count():
        with Progress(missing, EMBEDDING, "picture") as progress:
            embed_all(embedder, embedder.batch, progress.advance, embedder.decoders)


def embed_all(embedder: Embedder, batch: int, advance: Callable[[int], object], lanes: int) -> None:
    """Embed every picture, in steps of `batch`, also those that are added meanwhile.

    Each lane decodes and embeds a batch of its own, so that one of them always calculates: on the CPU that is quicker
    than one batch at a time in as many torch threads, and a GPU is fed by all of them in turns.
    """
    forward = nullcontext() if embedder.device == "cpu" else threading.Lock()
    model_id, at_hand, under_way = embedder.model_id, list[Image](), dict[Future[Looked], Sequence[Image]]()
    with ThreadPoolExecutor(lanes) as pool:
        while True:
            if not at_hand:
                at_hand = _oldest(model_id, batch * WINDOW, {image.pk for step in under_way.values() for image in step})
            step, at_hand = at_hand[:batch], at_hand[batch:]
            if step:
                under_way[pool.submit(_look, embedder, step, forward)] = step
            elif not under_way:
                return
            if not step or len(under_way) == 2 * lanes:  # so that no lane waits for its next step
                for looked in wait(under_way, return_when=FIRST_COMPLETED).done:
                    del under_way[looked]
                    advance(_keep(model_id, looked.result()))


def _oldest(model_id: str, count: int, besides: set[UUID]) -> list[Image]:
    """Return up to `count` of the oldest pictures without an embedding, in random order."""
    rows = list(Image.objects.not_embedded(model_id).exclude(pk__in=besides).order_by("created_at")[:count])
    random.shuffle(rows)
    return rows


def _look(embedder: Embedder, step: Sequence[Image], forward: AbstractContextManager[object]) -> Looked:
    """Decode and embed; `forward` is entered for the pass. Runs in other threads, so it uses no database."""
    wanted = pictures.request(within_px=None, at_least_px=embedder.at_least_px, square=embedder.square)
    readable: list[Image] = []
    prepared: list[torch.Tensor] = []
    unreadable: dict[Image, BadImage] = {}
    for image in step:
        try:
            decoded = DECODERS.decode(image.shown_file.source(), wanted)
            prepared.append(embedder.prepare_decoded(decoded.pixels))
            readable.append(image)
        except BadImage as error:
            unreadable[image] = error
        except files.StorageAway:  # the picture is not the cause
            raise
        except OSError:
            unreadable[image] = BadImage("gone", "Its file is missing.")
    with forward:
        vectors = embedder.embed_prepared(prepared)
    return Looked(readable, vectors, [fingerprint(picture(pixels)) for pixels in prepared], unreadable)


def _keep(model_id: str, looked: Looked) -> int:
    """Save embeddings and errors; returns how many pictures were processed."""
    for image, problem in looked.unreadable.items():
        logger.warning("gallery picture %s cannot be embedded: %s", image.pk, problem)
        Image.objects.filter(pk=image.pk).update(problem=str(problem)[:200])
    # Two processes may embed the same picture; the second changes nothing.
    Embedding.objects.bulk_create(
        (
            Embedding(image_id=image.content_hash, model_id=model_id, vector=vector.tobytes(), fingerprint=mark)
            for image, vector, mark in zip(
                looked.images, looked.vectors.astype(np.dtype("<f2")), looked.fingerprints, strict=True
            )
        ),
        ignore_conflicts=True,
    )
    embeddings.forget_deleted(image.content_hash for image in looked.images)  # some may be deleted by now
    return len(looked.images) + len(looked.unreadable)


# --- By all workers of the gallery queue, on all hosts -------------------------------------------------------------

ANSWER_S = 3
LOOK_EVERY_S = 1
STILL_S = 120  # a step takes seconds; a starting worker loads its model first


class Stalled(Exception):
    """No worker makes progress with embedding."""


def workers() -> int:
    """Return how many Celery workers consume the gallery queue."""
    queues = current_app.control.inspect(timeout=ANSWER_S).active_queues() or {}
    return sum(any(queue["name"] == current_app.conf.task_default_queue for queue in of) for of in queues.values())


def embed_elsewhere(model_id: str) -> None:
    """Have every picture embedded that has no embedding by this model, with a progress bar; returns when none is left.

    Each worker goes on by itself while there is something to do, and steps are drawn so that workers side by side
    seldom take the same picture. Raises Stalled when there is no worker, or none has done anything for two minutes.
    """
    missing = Image.objects.not_embedded(model_id).count()
    if not missing:
        return
    count = workers()
    if not count:
        raise Stalled("No worker takes from the gallery queue; start one, or embed here: without --distributed.")
    for _ in range(count):
        wakeup.wake_workers(wakeup.CURATE)
    left, moved_at = missing, time.monotonic()
    with Progress(missing, EMBEDDING, "picture") as progress:
        while left:
            time.sleep(LOOK_EVERY_S)
            before, left = left, Image.objects.not_embedded(model_id).count()
            progress.advance(before - left)
            if left < before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STILL_S:
                raise Stalled(f"{left} pictures are left, and no worker has embedded one for {STILL_S} s; see its log.")
