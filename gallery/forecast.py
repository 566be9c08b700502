"""When a query will have its answer: after the runs that are going on, as long as runs took lately."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from django.conf import settings

BATCH = 32  # what a run takes at most, unless somebody says so or a larger one was seen, as on a GPU
FIXED_PICTURES = 1  # what a run takes for whatever it has: as long as about one picture more
BELL_S = 0.01  # until a process that has nothing to do has heard of a query
LONGER = 1.15  # than lately: most then have their answer
LATER = 0.25  # a run that takes longer still will take a quarter more, and again


@dataclass(frozen=True)
class Run:
    """`size` queries, claimed by one process at `began` (seconds since the epoch); `took_s` once it is over."""

    process: str
    began: float
    size: int
    took_s: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """`going_on`: the sizes of the runs that are going on, by when they began.

    `usual_size`: of the run in which a query is; more queries are in the large ones. `largest_size`: what a run takes.
    """

    going_on: Mapping[float, int]
    processes: int
    usual_size: float
    largest_size: int
    picture_s: float

    @classmethod
    def of(cls, going_on: Sequence[Run], ended: Sequence[Run]) -> Self | None:
        """From the runs that are going on, and those that ended lately; None where none has."""
        if not ended:
            return None
        pictures = sum(run.size + FIXED_PICTURES for run in ended)
        return cls(
            going_on={run.began: run.size for run in going_on},
            processes=len({run.process for run in (*going_on, *ended)}),
            usual_size=sum(run.size**2 for run in ended) / sum(run.size for run in ended),
            largest_size=settings.SIMSEARCH_BATCH or max(BATCH, *(run.size for run in ended)),
            picture_s=sum(run.took_s for run in ended) / pictures,
        )

    def end_of(self, began: float, now: float) -> float:
        """When the run that began then will be over; it may have begun since somebody looked."""
        takes_s = self._takes_s(self.going_on.get(began, self.usual_size))
        return max(began + takes_s, now + LATER * (now - began))

    def answer_of(self, ahead: int, waiting: int, now: float) -> float:
        """When a query that has `ahead` of `waiting` others before it will have its answer.

        Whichever process is free first takes as many as it may. Until then others will have come: who has to wait
        will be in a run of the usual size at least.
        """
        ends, soonest = [self.end_of(began, now) for began in self.going_on], now + BELL_S
        free, left = ends + [soonest] * (self.processes - len(ends)), max(waiting, ahead + 1)
        heapq.heapify(free)
        while True:
            start, taken = heapq.heappop(free), min(left, self.largest_size)
            end = start + self._takes_s(taken if start <= soonest else max(taken, self.usual_size))
            if ahead < taken:
                return end
            ahead, left = ahead - taken, left - taken
            heapq.heappush(free, end)

    def _takes_s(self, size: float) -> float:
        return LONGER * self.picture_s * (size + FIXED_PICTURES)
