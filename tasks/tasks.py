"""The Celery tasks and what happens when a worker's processes start.

A worker's parent imports this module, so everything heavy (torch, annoy, numpy) is imported inside: in the children.
"""

import os
from typing import Any

from billiard import current_process, pool
from celery import shared_task
from celery.signals import beat_embedded_init, celeryd_after_setup, worker_process_init, worker_ready
from django.conf import settings

from engine.decoders import DECODERS
from gallery import generations, wakeup
from gallery.persistence import AWAY
from simsearch.local import gpus, kin

# A child that ends waits until its parent has read the result of its last task. A parent that stops does not read it
# when it had not heard yet that the task began: a stop in that moment took 30 s. Results are ignored anyway.
LAST_WORDS_S = 1.0
SHOWN_CHARACTERS = 16_384  # of a result in Flower: the ids of a whole batch


@shared_task(
    name=wakeup.ANSWER,
    time_limit=settings.SIMSEARCH_ANSWER_LIMIT_S,
    throws=AWAY,
    resultrepr_maxsize=SHOWN_CHARACTERS,
)
def answer() -> dict[str, Any]:
    """Answer one batch of waiting queries; the result, seen in Flower, names them."""
    from tasks.answer import answer_waiting
    from tasks.worker import current

    wakeup.clear_pending(wakeup.ANSWER)
    worker = current()
    answered = answer_waiting(worker, worker.embedder.batch)
    return {"batch": len(answered), "queries": [str(query) for query in answered]}


@shared_task(name=wakeup.CURATE, time_limit=300, throws=AWAY)
def curate() -> int:
    """Decode and embed one step of new pictures; the result is how many were embedded."""
    if not generations.has_new_pictures():  # an import wakes us after everything was embedded: torch is not needed
        return 0
    from tasks.curate import curate_step

    return curate_step()


@shared_task(name=wakeup.REBUILD, time_limit=3600)
def rebuild() -> str:
    """Build a new index if that still pays: every added picture may have asked for it."""
    from tasks.curate import rebuild_if_it_pays

    return rebuild_if_it_pays()


@shared_task(name=wakeup.BUILD, time_limit=3600)
def build() -> str:
    """Build and activate a new generation, whatever it brings; the result is a sentence about it."""
    from tasks.curate import build_generation_of_all

    return build_generation_of_all()


# Housekeeping is not in the event stream: Flower would show twenty sweeps a minute with a search in between.


@shared_task(name="tasks.sweep", time_limit=60, throws=AWAY, send_events=False)
def sweep() -> int:
    """Release overdue queries and wake workers for forgotten work; the result is how many were released."""
    from tasks.maintain import sweep as sweep_now

    return sweep_now()


@shared_task(name="tasks.expire", time_limit=300, throws=AWAY, send_events=False)
def expire() -> int:
    """Delete finished queries and their pictures after SIMSEARCH_QUERY_TTL_S, or beyond SIMSEARCH_QUERY_SPACE."""
    from gallery import space, waiting

    return waiting.expire_old() + space.enforce()


# --- Starts -------------------------------------------------------------------------------------------------

_answers_queries = False
_gpus: list[str] = []


@celeryd_after_setup.connect
def look_around(instance: Any, **_: object) -> None:
    """In the parent, before the children are forked: does this worker answer queries, and on which GPUs?

    Search children share the process that forks their decoders; a gallery worker's child starts its own when needed.
    """
    global _answers_queries, _gpus
    _answers_queries = wakeup.SEARCH in instance.app.amqp.queues.consume_from
    _gpus = gpus.visible(os.environ)
    if _answers_queries:
        DECODERS.start()


@worker_process_init.connect
def start_child(**_: object) -> None:
    """One GPU for each child, chosen before torch is imported."""
    if _gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.of_child(current_process().index, _gpus)  # type: ignore[attr-defined]
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(
        LAST_WORDS_S / pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    )
    if _answers_queries:  # a gallery worker's child imports torch with its first task
        from tasks.worker import start

        start()


@beat_embedded_init.connect
def end_beat_with_its_worker(**_: object) -> None:
    """Without this, beat goes on after its worker was killed, beside that of the next one."""
    kin.follow_parent()


@worker_ready.connect
def sweep_at_start(**_: object) -> None:
    sweep.delay()
