"""Rate limits: uploads, costly pictures and wrong passwords a minute, counted in Redis."""

import functools
import hashlib
import logging
from ipaddress import ip_address

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from gallery.errors import Refusal
from gallery.operations import redis_clients

logger = logging.getLogger(__name__)

COSTLY = RateLimitItemPerMinute(1, namespace="costly")
BAD_LOGINS = RateLimitItemPerMinute(5, namespace="logins")


@functools.cache
def _limiter() -> FixedWindowRateLimiter:
    client = redis_clients.kept(settings.REDIS_URL, redis_clients.COUNTING_S)
    storage = RedisStorage(settings.REDIS_URL, client.connection_pool, key_prefix="simsearch:limits")
    return FixedWindowRateLimiter(storage)


def check(client: str, uploads: int = 1) -> None:
    """Count uploads of `client` (an address). Raises Refusal `throttled`; lets all pass while Redis is away."""
    if not _count(_uploads(), hashed(client), uploads):
        raise Refusal("throttled", _("Too many pictures in a minute; wait a little."), retry_after_s=60)


def charge(client: str | None, cpu_s: float) -> None:
    """Count a slow picture of `client` (see `hashed`) as several uploads: a client keeps at most one core busy."""
    uploads = _uploads()
    if client and (cost := int(cpu_s * uploads.amount / 60)):
        _count(uploads, client, cost)


def count_costly(client: str | None) -> None:
    """Count a picture of `client` (see `hashed`) that was too costly; after two in a minute the client has to wait."""
    if not client or _count(COSTLY, client):
        return
    uploads = _uploads()
    try:
        _limiter().clear(uploads, client)  # so that the minute begins now
        _limiter().hit(uploads, client, cost=uploads.amount)
    except (redis.RedisError, OSError) as error:
        logger.warning("costly pictures are not counted: %s", error)


def hashed(client: str) -> str:
    """Return the client at this address, hashed because the query keeps it until it is answered."""
    return salted_hmac(__name__, _network(client)).hexdigest()[:32]


def _uploads() -> RateLimitItem:
    return RateLimitItemPerMinute(settings.SIMSEARCH_UPLOADS_PER_MINUTE, namespace="uploads")


def check_login(client: str, username: str) -> None:
    """Count one attempt to sign in, before its password is checked, so that parallel attempts count, too.

    Raises Refusal `throttled` from the sixth in a minute on, of one client or for one account, also for the right
    password: else the limit would tell which one is right. Lets all pass while Redis is away.
    """
    within = [_count(BAD_LOGINS, key) for key in _login_keys(client, username)]  # always counts both
    if not all(within):
        raise Refusal("throttled", _("Too many wrong passwords; wait a minute."), retry_after_s=60)


def forgive_login(client: str, username: str) -> None:
    """Forget an account's failures after the right password; this attempt does not count against the client.

    The client's other attempts stay: signing in to one account must not allow guessing the passwords of others.
    """
    of_client, of_account = _login_keys(client, username)
    try:
        _limiter().clear(BAD_LOGINS, of_account)
        _limiter().hit(BAD_LOGINS, of_client, cost=-1)
    except (redis.RedisError, OSError) as error:
        logger.warning("logins are not counted: %s", error)


def _login_keys(client: str, username: str) -> tuple[str, str]:
    # Hashed, because a stranger chooses the name and its length.
    return f"client/{_network(client)}", f"name/{hashlib.sha256(username.casefold().encode()).hexdigest()}"


def _count(limit: RateLimitItem, key: str, cost: int = 1) -> bool:
    """Count one more, or `cost` more; returns whether it is within the limit."""
    try:
        return _limiter().hit(limit, key, cost=cost)
    except (redis.RedisError, OSError) as error:
        logger.warning("%s are not counted: %s", limit.namespace, error)
        return True


def _network(client: str) -> str:
    """Return the network of a subscriber: an IPv4 address, or the 64 bits of IPv6 within which they may choose any."""
    try:
        address = ip_address(client)
    except ValueError:  # a socket has no address
        return client
    return client if address.version == 4 else address.exploded[:19]
