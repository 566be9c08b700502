"""The connection to Redis: a lost one is looked for again and again, without longer and longer pauses."""

import pytest

from simsearch import celery
from tests.ports import free_port

TRIES = 3


class Enough(Exception):
    pass


def test_a_redis_that_stays_away_is_looked_for_every_second_or_two() -> None:
    pauses_s: list[float] = []

    def note(_: Exception, pause_s: float) -> None:
        pauses_s.append(pause_s)
        if len(pauses_s) == TRIES:
            raise Enough

    with celery.app.connection_for_read(url=f"redis://127.0.0.1:{free_port()}/0") as connection, pytest.raises(Enough):
        connection.ensure_connection(note)
    assert len(pauses_s) == TRIES
    assert max(pauses_s) <= 2
