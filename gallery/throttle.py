"""Uploads per client and minute, counted in Redis."""

import functools
import logging

import redis
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from gallery.errors import Refusal

logger = logging.getLogger(__name__)

TIMEOUT_S = 0.5  # a silent Redis must not cost an upload more than the doorbell does


@functools.cache
def _limiter() -> FixedWindowRateLimiter:
    storage = RedisStorage(
        settings.REDIS_URL.replace("unix://", "redis+unix://", 1),
        key_prefix="simsearch:uploads",
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    return FixedWindowRateLimiter(storage)


def check(client: str) -> None:
    """Count one upload of `client` (an address). Raises Refusal `throttled`; lets all pass while Redis is away."""
    allowed = settings.SIMSEARCH_UPLOADS_PER_MINUTE
    try:
        within = _limiter().hit(RateLimitItemPerMinute(allowed), client)
    except (redis.RedisError, OSError) as error:
        logger.warning("uploads are not counted: %s", error)
        return
    if not within:
        raise Refusal("throttled", "Too many pictures in a minute; wait a little.", retry_after_s=60)
