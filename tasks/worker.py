"""The state of a worker process: its model and the searchable gallery."""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import redis
from django.db import DatabaseError, connections

from engine.decoders.pool import DECODERS
from engine.errors import BadIndex, EngineError, IndexAway
from engine.networks.embedder import Embedder
from engine.networks.registry import Thresholds
from gallery import persistence
from gallery.index import generations, recall
from gallery.models import Query
from gallery.operations import processes, workers
from gallery.storage import files
from tasks import active_model, stores
from tasks.measuring.thresholds import thresholds
from tasks.queries.slow import Background, SlowPictures
from tasks.search import near_duplicates
from tasks.search.near_duplicates import Rule
from tasks.search.neighbours import Neighbours

logger = logging.getLogger(__name__)

THRESHOLDS_S = 10.0
LOOK_S = 60.0  # between two looks whether an index is overdue
REMOTE_LANES = 4  # pictures that are read and written at once if the storage is remote
FETCHES = 4  # links fetched at once, so that one slow server does not block the others


@dataclass
class Worker:
    """The model and the searchable gallery of one process.

    `load`: from a model's id to the model. `problem`: why this one does not run the active model, or
    what the environment asks for in vain. `slow`, `links`: pictures that no batch waits for. `decode`: `map`, in
    several threads where a GPU is fed.
    """

    embedder: Embedder
    neighbours: Neighbours
    load: Callable[[str], Embedder] = active_model.load
    problem: str = ""
    swept_at: float = 0.0
    slow: SlowPictures = field(default_factory=SlowPictures)
    links: Background = field(default_factory=lambda: Background("links", _fetch, FETCHES))
    decode: Callable[..., Iterator[Any]] = field(init=False)
    _followed: str | None = None
    _thresholds: Thresholds | None = None
    _thresholds_until: float = 0.0
    _next_look: float = 0.0

    def __post_init__(self) -> None:
        # Each thread has a decoder process. On the CPU there is a worker process per core.
        lanes = 1 if self.embedder.device == "cpu" else self.embedder.decoders
        lanes = max(lanes, REMOTE_LANES) if files.is_remote() else lanes
        self.decode = map if lanes == 1 else ThreadPoolExecutor(lanes).map

    def follow(self) -> None:
        """Change to the active model if it is another one, between two batches; queries wait until it is loaded.

        If loading takes longer than the task may run, this process is killed, and its successor loads the model before
        it takes tasks; nothing is claimed yet. If the model cannot be loaded, this process keeps its own and logs it.
        """
        active_id = generations.active_model_id()
        if active_id is None or active_id == self._followed:
            return
        self._followed = active_id
        try:
            if active_id != self.embedder.model_id:
                self.embedder = self.load(active_id)
                self.neighbours, self._thresholds = Neighbours(active_id), None
                _bring_active()
                logger.info("changed to the model %s", active_id)
        except EngineError as error:
            self.problem = str(error)
            logger.error("this worker keeps the model %s: %s", self.embedder.model_id, error)  # noqa: TRY400 (one clear line)
            return
        self.problem = active_model.disagreement(active_id)
        if self.problem:
            logger.warning("%s", self.problem)

    @property
    def thresholds(self) -> Thresholds:
        """Return the model's thresholds; read again after THRESHOLDS_S, because `calibrate --write` changes them."""
        if self._thresholds is None or time.monotonic() > self._thresholds_until:
            self._thresholds = thresholds(self.embedder.model_id)
            self._thresholds_until = time.monotonic() + THRESHOLDS_S
        return self._thresholds

    @property
    def near_duplicates(self) -> Rule:
        """Return the rule for near-duplicates."""
        return near_duplicates.configured(self.thresholds.duplicate)

    def report(self) -> None:
        """Report to Redis that this process is alive, its device and its generation."""
        away, generation = self.neighbours.away(), self.neighbours.generation
        lost = "" if generation is None else stores.chosen().problem(generation)
        tried, not_fetched = stores.chosen().not_fetched() or (self.neighbours.tried, "")
        entry = workers.Report(
            name=processes.current(),
            device=self.embedder.device,
            precision=self.embedder.precision,
            model=self.embedder.name,
            model_id=self.embedder.model_id,
            generation=generation,
            index_problem=" ".join(filter(None, [self.problem, not_fetched or away or self.neighbours.problem, lost])),
            is_index_away=bool(away),
            at=time.time(),
            swept_at=self.swept_at,
            tried=tried,
        )
        try:
            workers.report(entry)
        except redis.RedisError as error:
            logger.warning("could not report to Redis: %s", error)

    def finds_overdue_index(self) -> bool:
        """Return whether an index is to be built and nobody has begun; False within LOOK_S of the last look."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_S
        return generations.is_overdue(self.embedder.model_id)

    def count_recall(self) -> None:
        """Check the last search against the exact one; in the sweep, so that no query waits for it."""
        generation = self.neighbours.generation
        try:
            checked = self.neighbours.check_recall()
        except IndexAway:  # the next search notices it
            return
        if checked is None or generation is None:
            return
        try:
            recall.count(generation, *checked)
        except redis.RedisError as error:
            logger.warning("could not count recall in Redis: %s", error)


def _fetch(token: UUID, query: Query) -> None:
    from tasks.queries.fetching import Fetcher, fetch  # imported late: its libraries take some MB

    fetch(Fetcher(), token, query)


def _bring_active() -> None:
    """Fetch the active generation, if this host has to, before any query is claimed: a batch has too little time."""
    active = generations.active()
    try:
        if active is not None:
            stores.chosen().bring(active)
    except BadIndex as error:
        logger.warning("%s", error)


_current: Worker | None = None


def current() -> Worker:
    """Return this process's worker, loaded on first use with the active model. Each task asks for it once, as it
    starts: what it does, from pixels to matches, is then of one model. Raises what `load_active` raises.
    """
    global _current
    if _current is None:
        embedder = active_model.load_active()
        _current = Worker(embedder, Neighbours(embedder.model_id))
    _current.follow()
    return _current


def start() -> None:
    """Prepare a child that answers queries: warm before it counts as ready, because a cold one costs seconds.

    A model that cannot be loaded stops the whole worker with one clear line instead of failing query by query. A
    database that does not answer is waited for: the first task loads the model then.
    """
    try:
        worker = current()
        # On the CPU a whole batch would only use memory before it is needed.
        worker.embedder.warm_up(*([1] if worker.embedder.device == "cpu" else []))
        _bring_active()
        worker.neighbours.refresh()
        DECODERS.warm_up()
        connections.close_all()  # Celery's own start of a child, after ours, would close it less gently
        # Objects of torch stay. The garbage collector would scan them for 0.1 to 0.2 s in every seventieth batch or so.
        gc.collect()
        gc.freeze()
    except EngineError as error:
        logger.critical("simsearch: this worker cannot start: %s", error)
        os.kill(os.getppid(), signal.SIGTERM)  # Celery would replace a child that ended by itself, for ever
        return
    except DatabaseError as error:
        logger.error("simsearch: this worker waits for its database: %s", persistence.reason(error))  # noqa: TRY400 (one clear line)
    stores.chosen().follow()
    workers.report_regularly(_report)  # the sweep reports, too, but only one of all search processes runs it


def _report() -> None:
    if _current is not None:
        _current.report()
