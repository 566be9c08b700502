"""What keeps the promise that an accepted upload is always answered, and the disk from filling up."""

import time
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.utils import timezone

from gallery import doorbell, queries, waiting
from gallery.models import Image
from gallery.persistence import AWAY
from tasks import worker as workers

# A query that waits this long while the sweeper itself gets through has lost its doorbell.
WAITED_S = 2.0


@shared_task(name="tasks.sweep", time_limit=60, throws=AWAY)
def sweep() -> int:
    """Release overdue queries, ring for forgotten work, say that the queue moves; returns how many were released."""
    released = queries.release_overdue()
    if released or waiting.oldest_s() > WAITED_S:
        doorbell.ring(doorbell.ANSWER)
    worker = workers.current()
    worker.neighbours.refresh()
    worker.swept_at = time.time()
    worker.report()
    worker.count_recall()
    if Image.objects.not_embedded(worker.embedder.network).exists():
        doorbell.ring(doorbell.CURATE)
    if worker.neighbours.is_outdated:
        doorbell.ring(doorbell.REBUILD)
    return released


@shared_task(name="tasks.expire", time_limit=300, throws=AWAY)
def expire() -> int:
    """Delete finished queries and their pictures after SIMSEARCH_QUERY_TTL_S."""
    return waiting.expire(timezone.now() - timedelta(seconds=settings.SIMSEARCH_QUERY_TTL_S))


@worker_ready.connect
def sweep_at_start(**_: object) -> None:
    sweep.delay()
