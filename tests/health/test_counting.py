"""Many processes count; the sum is in Redis."""

import socket
from pathlib import Path

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings
from redis import Redis

from gallery import counters, workers
from tests import fresh
from tests.stack import free_port

COUNT = """
import os
import simsearch.wsgi
from gallery import counters

counters.SENDER.start()
counters.BROKEN_BATCHES.inc(2)
counters.BATCH_SIZE.observe(3)
"""
FORK = """
child = os.fork()
counters.SENDER.start()
counters.BROKEN_BATCHES.inc(10)
if child:
    os.waitpid(child, 0)
else:
    counters.SENDER.send()
    os._exit(0)
"""


def total(name: str) -> float:
    [value] = [sample.value for family in counters.totals() for sample in family.samples if sample.name == name]
    return value


def test_the_counts_of_two_processes_are_added_up_when_they_end(tmp_path: Path) -> None:
    before = total("simsearch_broken_batches_total"), total("simsearch_batch_size_sum")
    fresh.run(COUNT, tmp_path)
    fresh.run(COUNT, tmp_path)
    after = total("simsearch_broken_batches_total"), total("simsearch_batch_size_sum")
    assert (after[0] - before[0], after[1] - before[1]) == (4, 6)


def test_a_process_that_lives_on_tells_what_it_counted(tmp_path: Path) -> None:
    before = total("simsearch_broken_batches_total")
    wait = """
import time
from gallery import workers
deadline = time.monotonic() + 60
while not workers.connect().hexists(counters.KEY, '["simsearch_broken_batches", "simsearch_broken_batches_total", []]'):
    assert time.monotonic() < deadline
    time.sleep(0.05)
os._exit(0)
"""
    fresh.run(COUNT + wait, tmp_path)
    assert total("simsearch_broken_batches_total") - before == 2


def test_a_fork_does_not_tell_once_more_what_its_parent_counted(tmp_path: Path) -> None:
    before = total("simsearch_broken_batches_total")
    fresh.run(COUNT + FORK, tmp_path)
    assert total("simsearch_broken_batches_total") - before == 2 + 10 + 10


@pytest.mark.parametrize("redis", ["closed", "silent"])
def test_what_is_counted_while_redis_is_away_is_told_later(settings: Settings, redis: str) -> None:
    counters.SENDER.send()
    before, there = total("simsearch_broken_batches_total"), settings.REDIS_URL
    told = Redis.from_url(there).hgetall(counters.KEY)
    settings.REDIS_TIMEOUT_S = 0.1
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if redis == "silent" else free_port()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        counters.BROKEN_BATCHES.inc(5)
        counters.SENDER.send_last()
        # While it is away: as soon as it is back, the thread of this process tells it as well.
        assert Redis.from_url(there).hgetall(counters.KEY) == told
    settings.REDIS_URL = there
    counters.SENDER.send()
    counters.SENDER.send()
    assert total("simsearch_broken_batches_total") == before + 5


def test_an_emptied_redis_starts_at_zero() -> None:
    counters.BROKEN_BATCHES.inc()
    counters.SENDER.send()
    with workers.connect() as client:
        client.flushall()
    counters.BROKEN_BATCHES.inc(3)
    counters.SENDER.send()
    assert total("simsearch_broken_batches_total") == 3


@pytest.mark.django_db
def test_a_histogram_is_whole(client: Client) -> None:
    for seconds in (0.0001, 0.3, 100):
        counters.STAGE_SECONDS.labels("embed").observe(seconds)
    counters.SENDER.send()
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    [stage] = [family for family in families if family.name == "simsearch_stage_seconds"]
    buckets = [s for s in stage.samples if s.name.endswith("_bucket") and s.labels["stage"] == "embed"]
    edges = [float(sample.labels["le"]) for sample in buckets]
    assert edges == sorted(edges)
    assert edges[-1] == float("inf")
    values = [sample.value for sample in buckets]
    assert values == sorted(values)
    [count] = [s.value for s in stage.samples if s.name.endswith("_count") and s.labels["stage"] == "embed"]
    assert values[-1] == count >= 3
