"""The simulation behind docs/scaling.md reproduces the machine that was measured."""

from dataclasses import replace

import pytest

from bench.capacity import MEASURED_MS, MEASURED_PER_S, TWO_CORES, simulate


@pytest.mark.parametrize("in_flight", MEASURED_MS)
def test_the_measured_machine_is_reproduced_within_a_fifth(in_flight: int) -> None:
    simulated = simulate(TWO_CORES, in_flight)
    assert simulated.p50_ms == pytest.approx(MEASURED_MS[in_flight], rel=0.2)
    assert simulated.per_s == pytest.approx(MEASURED_PER_S[in_flight], rel=0.2)


def test_more_cores_answer_more_until_the_visitors_are_too_few() -> None:
    per_s = [simulate(replace(TWO_CORES, cores=cores, workers=cores, visitor=0.0), 64).per_s for cores in (2, 4, 8)]
    assert per_s == sorted(per_s)
    assert per_s[1] == pytest.approx(2 * per_s[0], rel=0.1)


def test_the_cores_are_never_used_more_than_there_are() -> None:
    machine = replace(TWO_CORES, visitor=0.0)
    least_ms = machine.upload + machine.poll + machine.other + machine.picture
    assert simulate(machine, 64).per_s < 1000 * machine.cores / least_ms
