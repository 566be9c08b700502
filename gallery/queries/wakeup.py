"""Wake-up messages from the web to the workers: "there is work". The work itself is in the database."""

import functools
import logging

import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from gallery.operations import workers

logger = logging.getLogger(__name__)

SEARCH = "search"  # the queue of those who wait for an answer
ANSWER = "tasks.answer"
CURATE = "tasks.curate"
BUILD = "tasks.build"  # asked for by a person
REBUILD = "tasks.rebuild"  # only if it pays
BULK = "tasks.bulk"  # admin actions on many rows
ZIP = "tasks.import_zip"  # archives of pictures that were uploaded
ANALYSE = "tasks.analyse"  # near-duplicates, mislabels, the map, the evaluation

PENDING = "simsearch:pending:"
# A message that got lost (its worker was killed) keeps others from being sent for so long at most.
PENDING_MS = 1000
# Redis runs both as one: a count without an expiry would keep messages from being sent for ever.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return count
"""
# Every batch lets new messages through. Under a steady load they would pile up, and the sweep behind them.
QUEUED_PER_PROCESS = 2
PROCESSES, PROCESSES_S = "simsearch:processes", 2.0  # how many search processes there are, cached for so long
TIMEOUT_S = 1.0  # a silent Redis must not cost an upload its patience; the throttle has had its half second before


def wake_workers(task: str) -> None:
    """Send a message for `task`, once the current transaction is committed.

    Never raises: the sweep makes up for a message that Redis does not take.
    """
    transaction.on_commit(lambda: _send(task), robust=True)


def wake_unless_pending(task: str) -> None:
    """The same for a task that takes all the work there is and calls `clear_pending` before it looks.

    A message that no worker has taken yet finds this work, too. As many may be pending as there are search processes,
    so that a burst wakes all of them, on whichever host they are; and a few more in their queue.
    """
    transaction.on_commit(lambda: _send_unless_pending(task), robust=True)


def clear_pending(task: str) -> None:
    """The task begins to look for work: what is committed from now on needs another message. Never raises."""
    try:
        _client().delete(PENDING + task)
    except (redis.RedisError, OSError) as error:
        logger.warning("messages for %s stay pending a second longer: %s", task, error)


def _send_unless_pending(task: str) -> None:
    try:
        is_enough = _is_enough(task)
    except (redis.RedisError, OSError) as error:  # it would not take the message either
        _did_not_get_through(task, error)
        return
    if not is_enough:
        _send(task)


def _is_enough(task: str) -> bool:
    """Count one more pending message; tell whether there were enough already."""
    client = _client()
    pending = client.register_script(COUNT)(keys=[PENDING + task], args=[PENDING_MS])
    processes = cache.get_or_set(PROCESSES, lambda: max(1, client.hlen(workers.KEY)), PROCESSES_S) or 1
    return bool(pending > processes or client.llen(SEARCH) >= QUEUED_PER_PROCESS * processes)


def _client() -> redis.Redis:
    return _connected_to(settings.REDIS_URL)


@functools.cache
def _connected_to(url: str) -> redis.Redis:
    """Kept open, because to connect takes longer than to ask; tried once more when Redis was started anew meanwhile."""
    again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=again
    )
    return client


def _send(task: str) -> None:
    try:
        current_app.send_task(task, retry=False)
    except (OperationalError, OSError) as error:
        _did_not_get_through(task, error)


def _did_not_get_through(task: str, error: Exception) -> None:
    logger.warning("no worker was woken for %s (%s); the next sweep makes up for it", task, error)
