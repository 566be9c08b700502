"""When a query will have its answer."""

import pytest
from pytest_django import Settings

from gallery.forecast import BELL_S, LATER, LONGER, Forecast, Run

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def _batch(settings: Settings) -> None:
    settings.SIMSEARCH_BATCH = 4


def forecast(*going_on: Run, processes: int = 2, sizes: tuple[int, ...] = (4, 4)) -> Forecast:
    """Runs took 0.1 s for each picture and for what is fixed."""
    ended = [Run(f"p{i % processes}", NOW - 9, size, took_s=0.1 * (size + 1)) for i, size in enumerate(sizes)]
    told = Forecast.of(going_on, ended)
    assert told is not None
    return told


def takes_s(size: int) -> float:
    return LONGER * 0.1 * (size + 1)


def test_nothing_is_said_before_a_run_has_ended() -> None:
    assert Forecast.of([Run("p0", NOW, 1)], []) is None


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_run_takes_longer_for_more_pictures(size: int) -> None:
    told = forecast(Run("p0", NOW - 0.1, size))
    assert told.end_of(NOW - 0.1, NOW) == pytest.approx(NOW - 0.1 + takes_s(size))


def test_a_run_that_began_meanwhile_is_taken_for_a_usual_one() -> None:
    assert forecast().end_of(NOW - 0.1, NOW) == pytest.approx(NOW - 0.1 + takes_s(4))


def test_an_overdue_run_is_looked_at_less_and_less_often() -> None:
    told = forecast(Run("p0", NOW - 2, 1))
    assert told.end_of(NOW - 2, NOW) == pytest.approx(NOW + LATER * 2)


def test_an_idle_process_takes_a_query_at_once() -> None:
    due = pytest.approx(NOW + BELL_S + takes_s(1))
    assert forecast().answer_of(0, 1, NOW) == due
    assert forecast(Run("p0", NOW, 4)).answer_of(0, 1, NOW) == due  # the other one has time


def test_who_has_to_wait_is_in_a_run_of_the_usual_size_after_the_one_that_ends_first() -> None:
    busy = forecast(Run("p0", NOW - 0.3, 4), Run("p1", NOW - 0.1, 4))
    assert busy.answer_of(0, 1, NOW) == pytest.approx(NOW - 0.3 + 2 * takes_s(4))
    assert busy.answer_of(4, 5, NOW) == pytest.approx(NOW - 0.1 + 2 * takes_s(4))
    assert busy.answer_of(8, 9, NOW) == pytest.approx(NOW - 0.3 + 3 * takes_s(4))


def test_who_is_not_counted_among_those_who_wait_waits_nevertheless() -> None:
    assert forecast().answer_of(0, 0, NOW) == pytest.approx(NOW + BELL_S + takes_s(1))
    assert forecast(sizes=(1,), processes=1).answer_of(9, 0, NOW) > NOW + 2 * takes_s(4)


def test_where_nobody_says_how_large_a_batch_is_the_largest_one_tells(settings: Settings) -> None:
    settings.SIMSEARCH_BATCH = 0
    assert forecast().answer_of(31, 32, NOW) == pytest.approx(NOW + BELL_S + takes_s(32))
    assert forecast(sizes=(64, 1)).answer_of(63, 64, NOW) == pytest.approx(NOW + BELL_S + takes_s(64))
