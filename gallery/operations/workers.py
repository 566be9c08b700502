"""Heartbeats of the search workers, kept in Redis for some seconds: who is alive, on which device."""

import json
import time
from dataclasses import asdict, dataclass, fields
from typing import Self

import redis
from django.conf import settings

from gallery.operations import redis_clients

KEY = "simsearch:workers"
REPORT_EVERY_S = 3
ALIVE_S = 12  # four reports; a fault shows within 15 s


@dataclass(frozen=True)
class Report:
    """One search worker process as of `at` (seconds since the epoch); its last sweep was at `swept_at`.

    `tried`: the generation that was active when it last looked, before a task; `index_problem` is about that one.
    `is_index_away`: the server that holds the index does not answer, so searches wait.

    During an upgrade workers and web are of two versions: a field that comes later has a default.
    """

    name: str
    device: str
    precision: str
    model: str
    network: str
    generation: int | None
    index_problem: str
    at: float
    swept_at: float = 0.0
    tried: int | None = None
    is_index_away: bool = False

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Return what a worker wrote; what only another version knows is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})


def connect() -> redis.Redis:
    """Return a client that gives up in time. `ping()` and the rest raise redis.RedisError."""
    return redis_clients.connect(settings.REDIS_URL, settings.REDIS_TIMEOUT_S)


def index_problems(entries: list[Report], active: int | None) -> list[str]:
    """Return what keeps workers from using this generation, once for each of them.

    One that has had nothing to do since another was active speaks of that one: it looks again before its next task.
    """
    return [entry.index_problem for entry in entries if entry.index_problem and entry.tried == active]


def is_moving(entries: list[Report]) -> bool:
    """Tell whether one of them took a sweep off the queue lately: they do more than live."""
    return any(entry.swept_at > time.time() - ALIVE_S for entry in entries)


def report(entry: Report) -> None:
    """Say that this worker is alive. Raises redis.RedisError."""
    with connect() as client:
        client.hset(KEY, entry.name, json.dumps(asdict(entry)))
        client.expire(KEY, 3600)


def alive() -> list[Report]:
    """Return the workers with a recent heartbeat; drops the others. Raises redis.RedisError."""
    with connect() as client:
        entries = [Report.read(text) for text in client.hgetall(KEY).values()]
        gone = [entry.name for entry in entries if entry.at < time.time() - ALIVE_S]
        if gone:
            client.hdel(KEY, *gone)
    return [entry for entry in entries if entry.name not in gone]
