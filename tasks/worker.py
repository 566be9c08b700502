"""What lives once per worker process: the network and the searchable gallery."""

import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from celery.signals import celeryd_after_setup, worker_process_init, worker_process_shutdown
from django.conf import settings

from engine.embedder import Embedder
from engine.errors import EngineError
from gallery import counters, doorbell, owners, recall, workers
from tasks.neighbours import Neighbours

logger = logging.getLogger(__name__)


@dataclass
class Worker:
    """One process's network and gallery; tests make their own."""

    embedder: Embedder
    neighbours: Neighbours

    def report(self) -> None:
        """Tell the web that this process is alive and what it runs on."""
        entry = workers.Report(
            name=owners.me(),
            device=self.embedder.device,
            precision=self.embedder.precision,
            model=self.embedder.name,
            network=self.embedder.network,
            generation=self.neighbours.generation,
            index_problem=self.neighbours.problem,
            at=time.time(),
        )
        try:
            workers.report(entry)
        except redis.RedisError as error:
            logger.warning("could not report to Redis: %s", error)

    def count_recall(self) -> None:
        """Check the last search against the exact one; in the sweep, so that no query waits for it."""
        checked, generation = self.neighbours.check_recall(), self.neighbours.generation
        if checked is None or generation is None:
            return
        try:
            recall.count(generation, *checked)
        except redis.RedisError as error:
            logger.warning("could not count recall in Redis: %s", error)


_current: Worker | None = None
_answers_queries = False


def load_embedder(threads: int | None = None) -> Embedder:
    """The network that the settings ask for, on that many CPU threads. Raises UnknownModel, BadDevice, BadWeights."""
    weights = settings.SIMSEARCH_WEIGHTS
    return Embedder.load(
        settings.SIMSEARCH_MODEL,
        device=settings.SIMSEARCH_DEVICE,
        weights=Path(weights) if weights else None,
        threads=threads or settings.SIMSEARCH_THREADS,
    )


def current() -> Worker:
    """This process's worker, loaded on first use."""
    global _current
    if _current is None:
        embedder = load_embedder()
        _current = Worker(embedder, Neighbours(embedder.network))
    return _current


@celeryd_after_setup.connect
def note_queues(instance: Any, **_: object) -> None:
    """Remember, before the children are forked, whether this worker answers queries or only curates."""
    global _answers_queries
    _answers_queries = doorbell.SEARCH in instance.app.amqp.queues.consume_from


@worker_process_init.connect
def start(**_: object) -> None:
    """Warm this child up before the worker counts it as ready: a cold one would cost its first query seconds.

    A network that cannot be loaded stops the whole worker with one clear line instead of failing query by query.
    """
    try:
        worker = current()
    except EngineError as error:
        logger.critical("simsearch: this worker cannot start: %s", error)
        os.kill(os.getppid(), signal.SIGTERM)  # a child that ended by itself would be replaced, for ever
        return
    counters.SENDER.start()
    if _answers_queries:
        worker.embedder.warm_up(settings.SIMSEARCH_BATCH)
        worker.neighbours.refresh()
        worker.report()


@worker_process_shutdown.connect
def end(**_: object) -> None:
    # Celery ends a child without Python's own exit handlers.
    counters.SENDER.send_last()
