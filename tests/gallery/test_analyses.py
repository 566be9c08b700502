"""An analysis runs once at a time, and one whose worker was killed runs again or says so."""

import pytest
from django.utils import timezone

from gallery.insight import analyses
from gallery.models import Analysis
from gallery.operations import workers
from gallery.queries import wakeup
from tests.gallery.rows import ago, gone_process

pytestmark = pytest.mark.django_db(transaction=True)
DUPLICATES = Analysis.Kind.DUPLICATES


def claimed() -> Analysis:
    analyses.request(DUPLICATES)
    analysis = analyses.claim()
    assert analysis
    return analysis


def messages() -> int:
    with workers.connect() as redis:
        length: int = redis.llen("gallery")
    return length


def now() -> Analysis:
    return Analysis.objects.get()


def test_a_request_wakes_a_worker_and_one_worker_takes_it() -> None:
    claimed()
    assert messages() == 1
    assert now().state == "running"
    assert analyses.claim() is None


def test_one_that_runs_is_not_started_again() -> None:
    analysis = claimed()
    analyses.request(DUPLICATES)
    assert now().state == "running"
    analyses.finish(analysis, {"seconds": 1})
    analyses.request(DUPLICATES)
    assert now().state == "waiting"


def test_the_last_result_stays_until_there_is_another() -> None:
    analyses.finish(claimed(), {"seconds": 1})
    analyses.request(DUPLICATES)
    assert now().result == {"seconds": 1}
    analysis = analyses.claim()
    assert analysis
    analyses.fail(analysis, "There is no index yet.")
    assert (now().state, now().error, now().result) == ("failed", "There is no index yet.", {"seconds": 1})


def test_the_analysis_of_a_killed_worker_runs_again() -> None:
    analysis = claimed()
    assert analyses.release_overdue() == 0
    Analysis.objects.update(runner=gone_process())
    assert analyses.release_overdue() == 1
    assert now().state == "waiting"
    with pytest.raises(analyses.Superseded):
        analyses.advance(analysis, 1, 2)
    with pytest.raises(analyses.Superseded):
        analyses.finish(analysis, {})


def test_one_whose_lease_is_over_runs_again() -> None:
    claimed()
    Analysis.objects.update(lease_until=ago(1), runner="another host:1")
    assert analyses.release_overdue() == 1


def test_one_that_ends_its_worker_three_times_says_so() -> None:
    analyses.request(DUPLICATES)
    for _ in range(analyses.MAX_ATTEMPTS):
        assert analyses.claim()
        Analysis.objects.update(runner=gone_process())
        analyses.release_overdue()
    assert (now().state, now().error) == ("failed", analyses.GAVE_UP)
    analyses.request(DUPLICATES)
    assert now().attempts == 0


def test_progress_renews_the_lease() -> None:
    analysis = claimed()
    Analysis.objects.update(lease_until=ago(-1))
    analyses.advance(analysis, 3, 9)
    assert (now().done, now().total) == (3, 9)
    lease = now().lease_until
    assert lease
    assert (lease - timezone.now()).total_seconds() > analyses.LEASE_S / 2


def test_a_new_index_brings_new_results_where_somebody_asked_for_them() -> None:
    analyses.request_again()
    assert (Analysis.objects.count(), messages()) == (0, 0)
    analyses.finish(claimed(), {})
    analyses.request_again()
    assert (now().state, messages()) == ("waiting", 2)
    assert wakeup.ANALYSE == "tasks.analyse"
