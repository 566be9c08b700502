"""Embedding by all workers of the gallery queue, on whichever hosts they are."""

import time
from collections.abc import Callable

from celery import current_app

from gallery.curation.progress import Progress
from gallery.models import Image
from gallery.queries import wakeup
from tasks.embedding import EMBEDDING

ANSWER_S = 3
LOOK_EVERY_S = 1
STILL_S = 120  # a step takes seconds; a worker that just starts loads its network first


class Stalled(Exception):
    """No worker embeds."""


def workers() -> int:
    """Return how many Celery workers answer that they take from the gallery queue."""
    queues = current_app.control.inspect(timeout=ANSWER_S).active_queues() or {}
    return sum(any(queue["name"] == current_app.conf.task_default_queue for queue in of) for of in queues.values())


def embed_elsewhere(network: str) -> None:
    """Have every picture embedded that has no embedding by `network`, with a progress bar; returns when none is left.

    Each worker goes on by itself while there is something to do, and steps are drawn so that workers side by side
    seldom take the same picture. Raises Stalled when there is no worker, or none has done anything for two minutes.
    """
    missing = Image.objects.not_embedded(network).count()
    if not missing:
        return
    count = workers()
    if not count:
        raise Stalled("No worker takes from the gallery queue; start one, or embed here: without --distributed.")
    for _ in range(count):
        wakeup.wake_workers(wakeup.CURATE)
    with Progress(missing, EMBEDDING, "picture") as progress:
        _watch(network, missing, progress.advance)


def _watch(network: str, left: int, advance: Callable[[int], object]) -> None:
    moved_at = time.monotonic()
    while left:
        time.sleep(LOOK_EVERY_S)
        before, left = left, Image.objects.not_embedded(network).count()
        advance(before - left)
        if left < before:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STILL_S:
            raise Stalled(f"{left} pictures are left, and no worker has embedded one for {STILL_S} s; see its log.")
