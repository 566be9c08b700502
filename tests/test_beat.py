"""Beats of several gallery workers, on a real Redis."""

import time

from celery.beat import ScheduleEntry
from celery.schedules import schedule
from pytest_django import Settings

from gallery.operations import workers
from simsearch.beat import Scheduler
from simsearch.celery import app


def entry(period_s: float, name: str = "sweep") -> ScheduleEntry:
    return ScheduleEntry(name, "tasks.sweep", schedule=schedule(period_s), app=app)


def sent() -> int:
    with workers.connect() as redis:
        return int(redis.llen("search"))


def test_two_beats_send_each_task_once_a_period() -> None:
    beats = [Scheduler(app, lazy=True) for _ in range(2)]
    for beat in beats:
        beat.apply_entry(entry(60))
        beat.apply_entry(entry(60, "another"))
    assert sent() == 2


def test_the_next_period_has_a_message_of_whichever_beat_is_left() -> None:
    first, second = (Scheduler(app, lazy=True) for _ in range(2))
    first.apply_entry(entry(0.2))
    time.sleep(0.2)
    second.apply_entry(entry(0.2))
    assert sent() == 2


def test_without_redis_a_beat_goes_on(settings: Settings) -> None:
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    Scheduler(app, lazy=True).apply_entry(entry(60))
    settings.REDIS_URL = there
    assert sent() == 1
