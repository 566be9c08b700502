"""Where the time of a search goes, from the first byte to what the visitor sees.

What is known when a query is answered it tells itself (`timings_ms`); what happens after its row was written, the
system counts (`/metrics`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.load import Round
from bench.report import Row

Counted = Mapping[str, float]  # what /metrics says: a sample as it is written there -> its value

TOLD = ("parse", "throttle", "reencode", "keep", "queue", "claim", "decode", "embed", "search", "finish")
STAGE, REQUEST = "simsearch_stage_seconds", "simsearch_http_request_duration_seconds"
UPLOAD, POLL = "api-1:ask", "api-1:query"


@dataclass(frozen=True)
class Counts:
    """What the system counted during one round."""

    before: Counted
    after: Counted

    def sum_and_count(self, name: str, label: str) -> tuple[float, float]:
        """Of a histogram's samples with that label: their sum in seconds, and how many they are."""
        total, count = (
            self.after.get(key, 0.0) - self.before.get(key, 0.0)
            for key in (f"{name}_sum{{{label}}}", f"{name}_count{{{label}}}")
        )
        return total, count


def stack(rounds: list[Round], counts: list[Counts]) -> dict[str, float]:
    """Return how many ms each stage takes in the mean: one after the other, up to what the visitor waits."""
    timings = [answer["timings_ms"] for one in rounds for answer in one.answers]
    if not timings:
        return {}
    waited = float(np.mean([took for one in rounds for took in one.latencies])) * 1e3
    told = {stage: float(np.mean([of[stage] for of in timings])) for stage in TOLD}
    after_it = {stage: _mean_ms(counts, STAGE, f'stage="{stage}"') for stage in ("commit", "doorbell")}
    stacked = {stage: told[stage] for stage in ("parse", "throttle", "reencode", "keep")} | after_it
    stacked["wait for a run"] = told["queue"] - sum(after_it.values())
    stacked |= {stage: told[stage] for stage in ("claim", "decode", "embed", "search", "finish")}
    return stacked | {"upload and polls": waited - float(np.mean([of["total"] for of in timings]))}


def requests(label: str, counts: list[Counts]) -> Iterator[Row]:
    """Yield how often a query is asked for, and how long the web takes for its requests, in the mean."""
    uploads, polls = (sum(one.sum_and_count(REQUEST, f'view="{view}"')[1] for one in counts) for view in (UPLOAD, POLL))
    yield Row(f"{label}: polls a query", polls / uploads, "polls")
    for name, view in (("an upload", UPLOAD), ("a poll", POLL)):
        yield Row(f"{label}: {name}, in the web", _mean_ms(counts, REQUEST, f'view="{view}"'), "ms")


def _mean_ms(counts: list[Counts], name: str, label: str) -> float:
    sums = [one.sum_and_count(name, label) for one in counts]
    return sum(total for total, _ in sums) / sum(count for _, count in sums) * 1e3
