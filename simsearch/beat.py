"""Celery's beat where several gallery workers run one: together they send each periodic task once a period."""

from typing import Any

import redis
from celery import beat
from django.conf import settings

from gallery.operations import redis_clients

HELD = 0.8  # of a period: the next message of the same beat is not held back by its last one


class Scheduler(beat.Scheduler):
    """Sends due tasks unless another beat has just sent them. A beat without others sends everything."""

    def apply_entry(self, entry: beat.ScheduleEntry, producer: Any = None) -> None:
        """Send the message of an entry. Redis counts the time, so the clocks of hosts do not matter."""
        schedule: Any = entry.schedule  # whose package of types does not know its period
        held_ms = round(HELD * schedule.run_every.total_seconds() * 1000)
        client = redis_clients.kept(settings.REDIS_URL, redis_clients.WAKING_S)
        try:
            is_first = client.set(f"simsearch:beat:{entry.name}", 1, nx=True, px=held_ms)
        except redis.RedisError:  # sending fails as well, and Celery logs it
            is_first = True
        if is_first:
            super().apply_entry(entry, producer)
