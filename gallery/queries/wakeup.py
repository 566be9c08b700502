"""Wake-up messages from the web to the workers: "there is work". The work itself is in the database."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError

from gallery.operations import redis_clients, workers

logger = logging.getLogger(__name__)

SEARCH = "search"  # the queue of searches
ANSWER = "tasks.answer"
CURATE = "tasks.curate"
REBUILD = "tasks.rebuild"  # if a person requested it, or it pays
BULK = "tasks.bulk"  # admin actions on many rows
ZIP = "tasks.import_zip"  # archives of pictures that were uploaded
ANALYSE = "tasks.analyse"  # near-duplicates, mislabels, the map, the evaluation

PENDING = "simsearch:pending:"
# A lost message (its worker was killed) blocks others for at most this time.
PENDING_MS = 1000
# Redis runs both atomically: a count without an expiry would block messages for ever.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return count
"""
# Every task clears the count. Without this limit messages would pile up in front of the sweep under a steady load.
QUEUED_PER_PROCESS = 2
PROCESSES, PROCESSES_S = "simsearch:processes", 2.0  # number of search processes, cached for this time
_held: ContextVar[set[str] | None] = ContextVar("held", default=None)


def wake_workers(task: str) -> None:
    """Send a message for `task`, once the current transaction is committed.

    Never raises: the sweep sends the message later if Redis is away.
    """
    held = _held.get()
    if held is None:
        transaction.on_commit(lambda: _send(task), robust=True)
    else:
        held.add(task)


@contextmanager
def once() -> Iterator[None]:
    """Collect the messages of the block and send each once, at its end."""
    held = set[str]()
    outside = _held.set(held)
    try:
        yield
    finally:
        _held.reset(outside)
        for task in held:
            wake_workers(task)


def wake_unless_pending(task: str) -> None:
    """Send a message for a task that does all waiting work and calls `clear_pending` first, unless enough are pending.

    A pending message finds this work, too. As many may be pending as there are search processes on all hosts, so that
    a burst wakes all of them; a few more may be in the queue.
    """
    transaction.on_commit(lambda: _send_unless_pending(task), robust=True)


def clear_pending(task: str) -> None:
    """Reset the count of pending messages, because the task begins to look for work. Never raises."""
    try:
        _client().delete(PENDING + task)
    except (redis.RedisError, OSError) as error:
        logger.warning(
            "could not reset the count of pending messages for %s, which expires in a second: %s", task, error
        )


def _send_unless_pending(task: str) -> None:
    client = _client()
    try:
        pending = client.register_script(COUNT)(keys=[PENDING + task], args=[PENDING_MS])
        processes = cache.get_or_set(PROCESSES, lambda: max(1, client.hlen(workers.KEY)), PROCESSES_S) or 1
        if pending > processes or client.llen(SEARCH) >= QUEUED_PER_PROCESS * processes:
            return
    except (redis.RedisError, OSError) as error:  # Redis would not take the message either
        _did_not_get_through(task, error)
    else:
        _send(task)


def _client() -> redis.Redis:
    return redis_clients.kept(settings.REDIS_URL, redis_clients.WAKING_S)


def _send(task: str) -> None:
    try:
        current_app.send_task(task, retry=False)
    except (OperationalError, OSError) as error:
        _did_not_get_through(task, error)


def _did_not_get_through(task: str, error: Exception) -> None:
    logger.warning("could not send a wake-up message for %s (%s); the next sweep sends it", task, error)
