"""What keeps the promise that an accepted upload is always answered."""

import time

from gallery.curation import bulk, zips
from gallery.insight import analyses
from gallery.models import Image
from gallery.queries import lifecycle, waiting, wakeup
from tasks import worker as workers

# A query that waits this long while the sweep itself gets through has lost its wake-up message.
WAITED_S = 2.0


def sweep() -> int:
    """Release overdue queries, wake workers for forgotten work, report; returns how many were released."""
    released = lifecycle.release_overdue()
    if released or waiting.oldest_s() > WAITED_S:
        wakeup.wake_workers(wakeup.ANSWER)
    worker = workers.current()
    worker.neighbours.refresh()
    worker.swept_at = time.time()
    worker.report()
    worker.count_recall()
    if Image.objects.pending().exists() or Image.objects.not_embedded(worker.embedder.network).exists():
        wakeup.wake_workers(wakeup.CURATE)
    if bulk.unfinished().exists():
        wakeup.wake_workers(wakeup.BULK)
    if zips.unfinished().exists():
        wakeup.wake_workers(wakeup.ZIP)
    if analyses.release_overdue():
        wakeup.wake_workers(wakeup.ANALYSE)
    if worker.neighbours.is_outdated:
        wakeup.wake_workers(wakeup.REBUILD)
    return released
