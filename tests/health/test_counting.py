"""Many processes count, each in files of its own; the sum is in all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from gallery.operations import counters

COUNT = """
import os
import django
django.setup()
from gallery.operations import counters

counters.BROKEN_BATCHES.inc(2)
counters.BATCH_SIZE.observe(3)
"""
FORK = """
child = os.fork()
counters.BROKEN_BATCHES.inc(10)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
KILLED = """
import signal
os.kill(os.getpid(), signal.SIGKILL)
"""


def count(script: str) -> None:
    """In a process of its own beside this one."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "simsearch.settings"}
    subprocess.run([sys.executable, "-c", COUNT + script], env=environment, check="signal" not in script)


def total(name: str) -> float:
    [value] = [sample.value for family in counters.totals() for sample in family.samples if sample.name == name]
    return value


def files() -> list[str]:
    return sorted(path.name for path in Path(settings.METRICS_ROOT).iterdir())


@pytest.mark.parametrize("end", ["", KILLED])
def test_the_counts_of_processes_are_added_up_however_they_end(end: str) -> None:
    before = total("simsearch_broken_batches_total"), total("simsearch_batch_size_sum")
    count(end)
    count(end)
    after = total("simsearch_broken_batches_total"), total("simsearch_batch_size_sum")
    assert (after[0] - before[0], after[1] - before[1]) == (4, 6)


def test_a_fork_counts_apart_from_its_parent() -> None:
    before = total("simsearch_broken_batches_total")
    count(FORK)
    assert total("simsearch_broken_batches_total") - before == 2 + 10 + 10


def test_processes_that_ended_leave_their_files_to_the_next() -> None:
    count(FORK)
    before = files()
    for end in ("", KILLED, FORK):
        count(end)
    assert files() == before


@pytest.mark.django_db
def test_a_histogram_is_whole(client: Client) -> None:
    for seconds in (0.0001, 0.3, 100):
        counters.STAGE_SECONDS.labels("embed").observe(seconds)
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
