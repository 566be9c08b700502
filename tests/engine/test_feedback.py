"""One query vector from several pictures."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.index.feedback import combined
from tests.tasks.known import at

NONE = np.empty((0, 4096), np.float32)


def degrees(vector: NDArray[np.float32]) -> float:
    return math.degrees(math.atan2(vector[1], vector[0]))


def test_the_mean_of_two_lies_between_them() -> None:
    vector = combined(np.stack([at(0), at(60)]), NONE)
    assert degrees(vector) == pytest.approx(30, abs=1e-3)


def test_a_negative_one_pushes_away_by_half() -> None:
    vector = combined(np.stack([at(0)]), np.stack([at(60)]))
    # (1, 0) - 0.5 * (cos 60°, sin 60°), by hand
    assert degrees(vector) == pytest.approx(math.degrees(math.atan2(-math.sqrt(3) / 4, 0.75)), abs=1e-3)


def test_two_negative_ones_push_no_harder_than_one() -> None:
    one, two = (combined(np.stack([at(0)]), np.stack([at(60)] * count)) for count in (1, 2))
    assert two == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("angles", [([0, 60], [200]), ([10], [10]), ([0, 180], []), ([0, 180], [0])])
def test_the_length_is_one(angles: tuple[list[float], list[float]]) -> None:
    positive, negative = (np.stack([at(angle) for angle in side]) if side else NONE for side in angles)
    vector = combined(positive, negative)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
