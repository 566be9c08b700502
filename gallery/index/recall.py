"""Recall of real searches, checked against exact search in the background and counted in Redis per generation."""

from gallery.operations import workers

KEPT_S = 7 * 24 * 3600


def count(generation: int, found: int, true: int) -> None:
    """Add one checked search: how many of the `true` nearest were found. Raises redis.RedisError."""
    key = _key(generation)
    with workers.connect() as client:
        client.hincrby(key, "found", found)
        client.hincrby(key, "true", true)
        client.expire(key, KEPT_S)


def measured(generation: int) -> float | None:
    """Return the recall of real searches of this generation; None while none was checked.

    Raises redis.RedisError.
    """
    with workers.connect() as client:
        found, true = client.hmget(_key(generation), ["found", "true"])
    return int(found) / int(true) if true and found is not None else None


def _key(generation: int) -> str:
    return f"simsearch:recall:{generation}"
