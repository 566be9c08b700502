"""Durations: measured by stage, and formatted for people."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone


def in_ms(span: timedelta) -> float:
    """Return a time span in milliseconds, to a tenth."""
    return round(span.total_seconds() * 1000, 1)


@dataclass
class Stopwatch:
    """Stages that follow one another from `started_at` on; `ms`: how long each took, in milliseconds to a tenth."""

    started_at: datetime = field(default_factory=timezone.now)
    ms: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def end(self, stage: str) -> None:
        """Record the time of the stage that has just ended."""
        now = time.perf_counter()
        self.ms[stage] = round((now - self._last) * 1000, 1)
        self._last = now
