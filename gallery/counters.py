"""What the system has done so far: counters and histograms of all processes on all hosts, added up in Redis.

Each process counts in its own memory, which takes microseconds and cannot fail. A thread of its own adds what is new
to one hash in Redis, once a second and in one transaction; `/metrics` reads the hash. So nobody waits for Redis: while
it is away the counts stay in memory, and a process that is killed takes at most its last second with it. When Redis
loses the hash everything starts at zero, which Prometheus takes for the restart of a counter.
"""

import atexit
import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import redis
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import Metric

from gallery import workers
from gallery.errors import STATUS_OF_CODE

logger = logging.getLogger(__name__)

KEY = "simsearch:counters"
SEND_EVERY_S = 1.0

Sample = tuple[str, str, tuple[tuple[str, str], ...]]  # the family, the sample's own name, its labels

# The time at which one process began to count says nothing about the sum.
disable_created_metrics()  # type: ignore[no-untyped-call]
_REGISTRY = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

UPLOADS = Counter(
    "simsearch_uploads",
    'Requests to search, by upload or by "more like this": accepted, the code of the refusal, or error',
    ["outcome"],
    registry=_REGISTRY,
)
ANSWERS = Counter(
    "simsearch_answers",
    "Queries that came to their end, with the code of a failed one",
    ["outcome", "code"],
    registry=_REGISTRY,
)
BATCH_SIZE = Histogram(
    "simsearch_batch_size",
    "Queries claimed together",
    buckets=(1, 2, 4, 8, 16, 32, 64),
    registry=_REGISTRY,
)
BROKEN_BATCHES = Counter(
    "simsearch_broken_batches",
    "Runs that ended in an exception; their queries were tried again",
    registry=_REGISTRY,
)
STAGE_SECONDS = Histogram(
    "simsearch_stage_seconds",
    "accept, commit, doorbell, queue and total: of each query; claim, decode, embed, search and finish: of each batch",
    ["stage"],
    buckets=_SECONDS,
    registry=_REGISTRY,
)
HTTP_REQUESTS = Counter(
    "simsearch_http_requests",
    "Answered HTTP requests",
    ["method", "view", "status"],
    registry=_REGISTRY,
)
HTTP_SECONDS = Histogram(
    "simsearch_http_request_duration_seconds",
    "From the first middleware to the response, without the sending of its body",
    ["view"],
    buckets=_SECONDS,
    registry=_REGISTRY,
)
STAGES_OF_QUERY, STAGES_OF_BATCH = ("accept", "queue", "total"), ("claim", "decode", "embed", "search", "finish")
STAGES_OF_ASKING = ("commit", "doorbell")  # both are over only when the row is written, so they are told here alone

# Known from the start, so that the first increase of each is seen as one.
for _outcome in ("accepted", "error", *STATUS_OF_CODE):
    UPLOADS.labels(_outcome)
for _code in ("gave_up", "gone", "corrupt", "unsupported_format"):
    ANSWERS.labels("failed", _code)
for _stage in (*STAGES_OF_QUERY, *STAGES_OF_ASKING, *STAGES_OF_BATCH):
    STAGE_SECONDS.labels(_stage)
ANSWERS.labels("done", "")


class Sender:
    """Adds what this process counts to the sum in Redis."""

    def __init__(self) -> None:
        self._sent: dict[Sample, float] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_fork = False
        os.register_at_fork(after_in_child=self._forked)

    def start(self) -> None:
        """Send from now on; to be said by every process that counts, and cheap to say again."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._begin()

    def _begin(self) -> None:
        if self._is_fork:
            self._sent = _counted()  # that was the parent, and it sends it itself
        self._thread = threading.Thread(target=self._send_regularly, name="counters", daemon=True)
        self._thread.start()
        atexit.register(self.send_last)

    def _forked(self) -> None:
        # Threads do not come along, and the lock may be held by one of them.
        self._thread, self._lock, self._is_fork = None, threading.Lock(), True

    def _send_regularly(self) -> None:
        is_away = False
        while True:
            time.sleep(SEND_EVERY_S)
            try:
                self.send()
            except (redis.RedisError, OSError) as error:
                if not is_away:  # once per outage
                    logger.warning("counts are kept back while Redis is away: %s", error)
                is_away = True
            else:
                is_away = False

    def send(self) -> None:
        """Add what is new to Redis. Raises redis.RedisError or OSError; what was not sent is sent next time.

        If only the reply got lost, that second is counted twice: better than to miss what happened in an outage.
        """
        with self._lock:
            counted = _counted()
            new = {sample: value - self._sent.get(sample, 0) for sample, value in counted.items()}
            new = {sample: value for sample, value in new.items() if value}
            if not new:
                return
            with workers.connect() as client, client.pipeline(transaction=True) as pipe:
                for sample, value in new.items():
                    pipe.hincrbyfloat(KEY, json.dumps(sample), value)
                pipe.execute()
            self._sent = counted

    def send_last(self) -> None:
        """The same for a process that ends; never raises."""
        with suppress(redis.RedisError, OSError):
            self.send()


def _counted() -> dict[Sample, float]:
    """Every sample of this process."""
    return {sample: value for family in _REGISTRY.collect() for sample, value in _samples(family).items()}


def _samples(family: Metric) -> dict[Sample, float]:
    return {(family.name, sample.name, tuple(sample.labels.items())): sample.value for sample in family.samples}


SENDER = Sender()


def totals() -> Iterator[Metric]:
    """The sums over all processes. Raises redis.RedisError or OSError."""
    with workers.connect() as client:
        stored = client.hgetall(KEY)
    sums: dict[str, dict[Sample, float]] = defaultdict(dict)
    for text, value in stored.items():
        family_name, name, labels = json.loads(text)
        sums[family_name][family_name, name, tuple((key, of) for key, of in labels)] = float(value)
    for family in _REGISTRY.collect():
        zeros = dict.fromkeys(_samples(family), 0.0)
        total = Metric(family.name, family.documentation, family.type)
        for (_, name, labels), value in sorted((zeros | sums[family.name]).items(), key=_place):
            total.add_sample(name, dict(labels), value)
        yield total


def _place(item: tuple[Sample, float]) -> tuple[str, list[tuple[str, str]], float]:
    """The buckets of one histogram side by side, the smallest first."""
    (_, name, labels), _value = item
    return name, [label for label in labels if label[0] != "le"], float(dict(labels).get("le", 0))
