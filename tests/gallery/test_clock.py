"""Leases do not depend on the clocks of hosts; on PostgreSQL, which is what several hosts share."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from gallery.index import generations
from gallery.insight import analyses
from gallery.models import Analysis, IndexGeneration
from gallery.queries import lifecycle
from tests.gallery.rows import ask, now, set_row

pytestmark = pytest.mark.django_db

TRUE_NOW = timezone.now
OTHER_HOST = "b/1/1:7"
Clock = Callable[[int], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return what sets this host's clock so many hours ahead."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite serves one host")
    return lambda ahead: monkeypatch.setattr(timezone, "now", lambda: TRUE_NOW() + timedelta(hours=ahead))


@pytest.mark.parametrize(("theirs", "ours"), [(0, 1), (-1, 0), (-1, 1)])
def test_what_a_host_with_another_clock_does_is_left_to_it(clock: Clock, theirs: int, ours: int) -> None:
    query = ask()
    clock(theirs)
    lifecycle.claim(1)
    generation = generations.start("n")
    analyses.request(Analysis.Kind.MAP)
    assert analyses.claim()
    set_row(query, claimed_by=OTHER_HOST)
    IndexGeneration.objects.update(builder=OTHER_HOST)
    Analysis.objects.update(runner=OTHER_HOST)
    clock(ours)
    assert lifecycle.release_overdue() == 0
    assert now(query).state == "running"
    with pytest.raises(generations.Busy):
        generations.start("n")
    generations.keep_alive(generation)
    assert analyses.release_overdue() == 0


def test_a_lease_that_is_over_is_over_for_every_clock(clock: Clock) -> None:
    query = ask()
    lifecycle.claim(1)
    set_row(query, claimed_by=OTHER_HOST, lease_until=TRUE_NOW() - timedelta(seconds=1))
    clock(-1)
    assert lifecycle.release_overdue() == 1
