"""Redis clients. Each has a named time-out, so that nothing waits long for a silent Redis.

Celery's own connections have theirs in the settings.
"""

import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

STARTING_S = 3.0  # before a start: a Redis that loads its data may be slow
# A silent Redis must not delay an upload: the throttle needs Redis, and then the wake-up message.
COUNTING_S, WAKING_S = 0.5, 1.0

_kept: dict[tuple[str, float], redis.Redis] = {}
_making = threading.Lock()


def connect(url: str, timeout_s: float) -> redis.Redis:
    """Return a client that tries once; connecting and each reply may take that long."""
    return _client(url, timeout_s, Retry(NoBackoff(), 0))


def kept(url: str, timeout_s: float) -> redis.Redis:
    """Return a client whose connections stay open; it tries once more after a restart of Redis."""
    # One thread makes it. functools.cache would let the first threads each make one, and a client that nobody refers to
    # any more closes the connections of its pool, even those at work in another thread.
    with _making:
        if (url, timeout_s) not in _kept:
            _kept[url, timeout_s] = _client(
                url, timeout_s, Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
            )
        return _kept[url, timeout_s]


def _client(url: str, timeout_s: float, retry: Retry) -> redis.Redis:
    # RESP2: with RESP3 redis-py asks on each new TCP connection for maintenance notifications, which our Redis does not
    # know, and a connection that is lost in that moment raises AttributeError instead of a RedisError.
    client: redis.Redis = redis.Redis.from_url(
        url, protocol=2, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry
    )
    return client
