"""The report of one batch: counts for `/metrics` and one line in the log."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gallery.models import Query
from gallery.operations import counters
from gallery.timings import Stopwatch
from tasks.worker import Worker

logger = logging.getLogger(__name__)


@dataclass
class Batch:
    """One run: how many queries it claimed, how long each of its stages took, what became of them."""

    worker: Worker
    size: int
    stages: Stopwatch
    failed: Counter[str] = field(default_factory=Counter)  # by code

    def answered(self, done: int, queries: Iterable[Query]) -> None:
        """Record the end of a batch with `done` answers, and the total times of those of `queries` that it owned."""
        counters.BATCH_SIZE.observe(self.size)
        for stage, ms in self.stages.ms.items():
            counters.STAGE_SECONDS.labels(stage).observe(ms / 1000)
        timings_ms = [query.timings_ms for query in queries if "total" in query.timings_ms]
        for stage in counters.STAGES_OF_QUERY:
            seconds = counters.STAGE_SECONDS.labels(stage)
            for timings in timings_ms:
                seconds.observe(timings[stage] / 1000)
        self._log(done=done)

    def broke(self, error: Exception) -> None:
        """Record a batch that ended in an exception; Celery logs its traceback."""
        counters.BATCH_SIZE.observe(self.size)
        counters.BROKEN_BATCHES.inc()
        self._log(done=0, exception=type(error).__name__)

    def _log(self, done: int, exception: str = "") -> None:
        device, generation = self.worker.embedder.device, self.worker.neighbours.generation
        ended = exception or f"{done} done" + "".join(f", {count} {code}" for code, count in self.failed.items())
        stages = " ".join(f"{stage} {ms} ms" for stage, ms in self.stages.ms.items())
        fields = {"size": self.size, "done": done, "failed": dict(self.failed), "ms": self.stages.ms}
        fields |= {"event": "batch", "device": device, "generation": generation}
        logger.log(
            logging.ERROR if exception else logging.INFO,
            "batch of %d: %s; %s; %s, generation %s",
            self.size,
            ended,
            stages,
            device,
            generation,
            extra=fields | ({"exception": exception} if exception else {}),
        )
