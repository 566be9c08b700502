"""Heartbeats of the workers, kept in Redis for some seconds: who is alive, on which device.

Times in Redis are by its own clock: those of hosts may differ.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Self

import redis
from django.conf import settings

from gallery.operations import redis_clients

KEY = "simsearch:workers"
REPORT_EVERY_S = 3
ALIVE_S = 12  # four reports; a fault shows within 15 s
HEARTBEATS = "simsearch:heartbeats"  # process -> when it sent the last one
REMEMBERED_S = 3600  # longer than any lease


@dataclass(frozen=True)
class Report:
    """One search worker process as of `at` (seconds since the epoch); its last sweep was at `swept_at`.

    Both by the clock of this host.

    `tried`: the generation that was active when it last looked, before a task; `index_problem` is about that one.
    `is_index_away`: the server that holds the index does not answer, so searches wait.

    During an upgrade workers and web are of two versions: a field that comes later has a default, and `model_id` has
    the key `network` in Redis.
    """

    name: str
    device: str
    precision: str
    model: str
    model_id: str
    generation: int | None
    index_problem: str
    at: float
    swept_at: float = 0.0
    tried: int | None = None
    is_index_away: bool = False

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Return what a worker wrote, without fields that only another version knows."""
        known, stored = {field.name for field in fields(cls)}, json.loads(text)
        stored["model_id"] = stored.pop("network")
        return cls(**{name: value for name, value in stored.items() if name in known})

    def written(self) -> str:
        """Return the report as `read` expects it."""
        stored = asdict(self)
        stored["network"] = stored.pop("model_id")
        return json.dumps(stored)

    def shifted(self, seconds: float) -> Self:
        """Return the report with its times shifted by the difference of two clocks."""
        return replace(self, at=self.at + seconds, swept_at=self.swept_at + seconds)


def connect() -> redis.Redis:
    """Return a client with time-outs. `ping()` and the rest raise redis.RedisError."""
    return redis_clients.connect(settings.REDIS_URL, settings.REDIS_TIMEOUT_S)


def index_problems(entries: list[Report], active: int | None) -> list[str]:
    """Return why workers do not use this generation, one text per worker.

    Workers without a task since the activation are left out: they open it before their next task.
    """
    return [entry.index_problem for entry in entries if entry.index_problem and entry.tried == active]


def is_moving(entries: list[Report]) -> bool:
    """Tell whether one of them has run a sweep recently, so that tasks are really processed."""
    return any(entry.swept_at > time.time() - ALIVE_S for entry in entries)


def report(entry: Report) -> None:
    """Send the heartbeat of a search worker. Raises redis.RedisError."""
    with connect() as client:
        ahead_s = _time(client.time()) - time.time()
        pipeline = client.pipeline(transaction=False)
        pipeline.hset(KEY, entry.name, entry.shifted(ahead_s).written())
        pipeline.expire(KEY, 3600)
        pipeline.hset(HEARTBEATS, entry.name, entry.at + ahead_s)
        pipeline.expire(HEARTBEATS, REMEMBERED_S)
        pipeline.execute()


def alive() -> list[Report]:
    """Return the workers with a recent heartbeat; deletes the others. Raises redis.RedisError."""
    with connect() as client:
        now, stored = client.pipeline(transaction=False).time().hgetall(KEY).execute()
        ahead_s = _time(now) - time.time()
        entries = [Report.read(text).shifted(-ahead_s) for text in stored.values()]
        gone = [entry.name for entry in entries if entry.at < time.time() - ALIVE_S]
        if gone:
            client.hdel(KEY, *gone)
    return [entry for entry in entries if entry.name not in gone]


def beat(name: str) -> None:
    """Send the heartbeat of a process that does not search. Raises redis.RedisError."""
    with connect() as client:
        client.hset(HEARTBEATS, name, _time(client.time()))
        client.expire(HEARTBEATS, REMEMBERED_S)


def report_regularly(send: Callable[[], None]) -> None:
    """Call `send` every REPORT_EVERY_S, in a thread, until this process ends."""
    threading.Thread(target=_report_regularly, args=[send], name="heartbeat", daemon=True).start()


def _report_regularly(send: Callable[[], None]) -> None:
    while True:
        with suppress(redis.RedisError):
            send()
        time.sleep(REPORT_EVERY_S)


def silent(names: Sequence[str]) -> list[str]:
    """Return the processes whose heartbeats have stopped, without those that Redis does not know.

    Raises redis.RedisError.
    """
    with connect() as client:
        now, stored = client.pipeline(transaction=False).time().hgetall(HEARTBEATS).execute()
        last = {name.decode(): float(at) for name, at in stored.items()}
        if long_gone := [name for name, at in last.items() if at < _time(now) - REMEMBERED_S]:
            client.hdel(HEARTBEATS, *long_gone)
    return [name for name in names if name in last and last[name] < _time(now) - ALIVE_S]


def _time(answer: tuple[int, int]) -> float:
    seconds, microseconds = answer
    return seconds + microseconds / 1e6
