"""The Celery tasks, and the start of a worker's processes.

A worker's parent imports this module, so everything heavy (torch, annoy, numpy) is imported inside functions.
"""

import gc
import importlib
import os
import time
from functools import partial
from typing import Any

from billiard import current_process, pool
from celery import shared_task
from celery.signals import beat_embedded_init, celeryd_after_setup, celeryd_init, worker_process_init, worker_ready
from django.conf import settings

from engine.decoders.pool import DECODERS
from engine.errors import IndexAway
from gallery.curation import bulk as bulk_actions
from gallery.curation import zips
from gallery.errors import Refusal
from gallery.index import generations
from gallery.insight import analyses
from gallery.models import Image
from gallery.operations import processes, workers
from gallery.persistence import AWAY
from gallery.queries import lifecycle, retention, waiting, wakeup
from gallery.storage import files
from simsearch.launch import gpu, process_group

# A child that ends waits until its parent has read the result of its last task. A stopping parent does not read it if
# it does not know yet that the task has begun, and the stop would take 30 s. Results are ignored anyway.
LAST_WORDS_S = 1.0
# A query that waits this long although sweeps run has lost its wake-up message.
WAITED_S = 2.0
SHOWN_CHARACTERS = 16_384  # of a result in Flower: the ids of 400 queries


@shared_task(
    name=wakeup.ANSWER,
    time_limit=settings.SIMSEARCH_ANSWER_LIMIT_S,
    throws=(*AWAY, IndexAway),
    resultrepr_maxsize=SHOWN_CHARACTERS,
)
def answer() -> dict[str, Any]:
    """Answer waiting queries in batches for ROUND_S; the result, shown in Flower, names them."""
    from tasks.queries.answer import answer_round
    from tasks.worker import current

    worker = current()
    batches = answer_round(worker, worker.embedder.pass_size)
    return {"batches": list(map(len, batches)), "queries": [str(query) for batch in batches for query in batch]}


@shared_task(name=wakeup.CURATE, time_limit=300, throws=AWAY)
def curate() -> int:
    """Decode and embed one step of new pictures; the result is how many were embedded."""
    if not generations.has_new_pictures():  # after an import everything is embedded: torch is not needed
        return 0
    from tasks.indexing.build import curate_step

    return curate_step()


@shared_task(name=wakeup.REBUILD, time_limit=3600, throws=(IndexAway,))
def rebuild() -> str:
    """Build a new index if a person requested it or it still pays; the result is a sentence about it."""
    from tasks.indexing.build import rebuild_if_due

    return rebuild_if_due()


@shared_task(name="tasks.sync_index", time_limit=300, throws=(*AWAY, IndexAway), send_events=False)
def sync_index() -> int:
    """Add new embeddings to the active collection of Milvus; the result is how many were added."""
    from tasks.stores.milvus_sync import sync

    return sync()


@shared_task(name=wakeup.BULK, time_limit=300, throws=AWAY)
def bulk() -> bool:
    """Change one step of the rows of an admin action, and send a message for the next."""
    is_more = bulk_actions.step()
    if is_more:
        wakeup.wake_workers(wakeup.BULK)
    return is_more


@shared_task(name=wakeup.ANALYSE, time_limit=3600, throws=AWAY)
def analyse() -> str:
    """Run the analysis of the gallery that waits longest; the result is a sentence about it."""
    from tasks.insight.run import run_next

    return run_next()


@shared_task(name=wakeup.ZIP, time_limit=600, throws=(*AWAY, Refusal, files.StorageAway))
def import_zip() -> bool:
    """Import some files of an uploaded archive, and send a message for the next."""
    is_more = zips.step()
    if is_more:
        wakeup.wake_workers(wakeup.ZIP)
    return is_more


# Housekeeping is not in the event stream: Flower would show twenty sweeps a minute between the searches.


@shared_task(name="tasks.sweep", time_limit=60, throws=AWAY, send_events=False)
def sweep() -> int:
    """Release overdue queries and wake workers for forgotten work; the result is how many were released."""
    from tasks.worker import current

    released = lifecycle.release_overdue()
    if released or waiting.oldest_s() > WAITED_S:
        wakeup.wake_workers(wakeup.ANSWER)
    worker = current()
    worker.neighbours.refresh()
    worker.swept_at = time.time()
    worker.report()
    worker.count_recall()
    has_new = Image.objects.pending().exists() or Image.objects.not_embedded(worker.embedder.model_id).exists()
    if has_new:
        wakeup.wake_workers(wakeup.CURATE)
    if worker.neighbours.is_outdated or (not has_new and worker.finds_overdue_index()):
        wakeup.wake_workers(wakeup.REBUILD)
    if bulk_actions.unfinished().exists():
        wakeup.wake_workers(wakeup.BULK)
    if zips.unfinished().exists():
        wakeup.wake_workers(wakeup.ZIP)
    if analyses.release_overdue():
        wakeup.wake_workers(wakeup.ANALYSE)
    return released


@shared_task(name="tasks.expire", time_limit=300, throws=AWAY, send_events=False)
def expire() -> int:
    """Delete finished queries and their pictures after SIMSEARCH_QUERY_TTL_S, or beyond SIMSEARCH_QUERY_SPACE.

    Also old uploads of archives and the rows of admin actions that finished long ago.
    """
    return zips.remove_old() + bulk_actions.remove_old() + retention.expire_old() + retention.enforce_quota()


# --- Starts -------------------------------------------------------------------------------------------------

_answers_queries = False
_gpus: list[str] = []


# Children calculate in parallel, so each has one thread, or SIMSEARCH_THREADS.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


@celeryd_init.connect
def configure_children(conf: Any, options: dict[str, Any], **_: object) -> None:
    """Configure a worker's parent. Without --concurrency the search worker has a child per GPU, or per core."""
    os.environ |= ONE_THREAD
    if options.get("queues") == [wakeup.SEARCH]:
        conf.worker_concurrency = gpu.search_children(os.environ)


@celeryd_after_setup.connect
def look_around(instance: Any, **_: object) -> None:
    """Determine, before the children are forked, whether this worker answers queries and on which GPUs.

    Search children share the process that forks their decoders; a gallery worker's child starts its own when needed.
    """
    global _answers_queries, _gpus
    _answers_queries = wakeup.SEARCH in instance.app.amqp.queues.consume_from
    _gpus = gpu.visible(os.environ)
    if _answers_queries:
        DECODERS.start()
        if not (_gpus or gpu.is_named(os.environ)):
            # Torch and the code of searches, once for all children: they share the memory, and start sooner. Only
            # without a GPU: each child chooses its own before it imports torch.
            importlib.import_module("tasks.queries.answer")
            gc.collect()
            gc.freeze()  # the garbage collector would write to the shared pages


@worker_process_init.connect
def start_child(**_: object) -> None:
    """Give each child one GPU before it imports torch."""
    if _gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu.of_child(current_process().index, _gpus)  # type: ignore[attr-defined]
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(
        LAST_WORDS_S / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    )
    if _answers_queries:  # a gallery worker's child imports torch with its first task
        from tasks.worker import start

        start()
    elif files.is_remote():
        # Without heartbeats another host takes over the build or analysis of this child.
        workers.report_regularly(partial(workers.beat, processes.current()))


@beat_embedded_init.connect
def end_beat_with_its_worker(**_: object) -> None:
    """End beat with its worker; after a kill it would run beside the next worker's beat."""
    process_group.follow_parent()


@worker_ready.connect
def sweep_at_start(**_: object) -> None:
    """Sweep at the start of a worker: queries may have waited for it."""
    sweep.delay()
