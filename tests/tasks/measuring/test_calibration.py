"""Thresholds from measured cosines: computed by hand from known distributions, and measured on real pictures."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine.networks.registry import Thresholds
from tasks.measuring.alterations import ALTERATIONS
from tasks.measuring.calibration import Measured, derive
from tests.tasks.conftest import drawn

OWN = Thresholds(same=0.88, very_similar=0.60, similar=0.42, duplicate=0.88)
NONE = np.empty(0, np.float32)


def spread(low: float, high: float, count: int = 1001) -> NDArray[np.float32]:
    """Evenly spread cosines: a share p of them is below low + p (high - low)."""
    return np.linspace(low, high, count, dtype=np.float32)


def reaching(cosines: NDArray[np.float32], threshold: float) -> float:
    """Return the share of cosines at or above the threshold."""
    return float(np.mean(cosines >= threshold))


def measured(
    altered: NDArray[np.float32] | None = None,
    one_label: NDArray[np.float32] = NONE,
    other_label: NDArray[np.float32] = NONE,
    nearest: NDArray[np.float32] = NONE,
) -> Measured:
    copies = (spread(0.8, 1.0) if altered is None else altered).reshape(-1, 7)
    return Measured(copies, np.ones_like(copies, np.bool_), one_label, other_label, nearest, NONE)


def test_thresholds_are_those_computed_by_hand() -> None:
    derived = derive(measured(spread(0.8, 1.0), spread(0.3, 0.9), spread(0.0, 0.4), spread(0.4, 0.8)), OWN)
    assert derived.kept == []
    found = derived.thresholds
    assert found.similar == pytest.approx(0.3995, abs=0.0006)  # 0.1 % of 0.0 to 0.4 is above it
    assert found.very_similar == pytest.approx(0.7, abs=0.0015)  # a third of 0.3 to 0.9
    assert found.same == pytest.approx(0.81, abs=0.0015)  # 95 % of 0.8 to 1.0
    assert found.duplicate == pytest.approx(0.802, abs=0.0015)  # 99 %


def test_neighbours_that_come_near_copies_raise_the_highest_band() -> None:
    nearest = spread(0.5, 0.9)
    found = derive(measured(nearest=nearest), OWN).thresholds
    assert found.same == pytest.approx(0.88, abs=0.0015)  # 5 % of 0.5 to 0.9 are above it
    assert reaching(nearest, found.same) <= 0.05
    assert found.duplicate == pytest.approx(0.802, abs=0.0015)


@pytest.mark.parametrize("count", [20, 33, 100, 257, 1000])
def test_a_threshold_keeps_its_promise_whatever_the_number_of_pictures(count: int) -> None:
    random = np.random.default_rng(count)
    altered, nearest = (random.uniform(low, high, 7 * count).astype(np.float32) for low, high in ((0.8, 1), (0.4, 0.7)))
    found = derive(measured(altered, nearest=nearest), OWN).thresholds
    assert reaching(altered, found.duplicate) >= 0.99
    assert reaching(altered, found.same) >= 0.95
    assert reaching(nearest, found.same) <= 0.05


def test_near_duplicates_are_counted_where_cosine_and_fingerprint_agree() -> None:
    cosines, alike = np.full((2, 7), 0.9, np.float32), np.ones((2, 7), np.bool_)
    cosines[0, :3], alike[1, :4] = 0.7, False
    counted = Measured(cosines, alike, NONE, NONE, NONE, np.array([0.9, 0.7, -1, 0.8], np.float32))
    assert counted.recognised(0.8) == pytest.approx(7 / 14)
    assert counted.duplicated(0.8) == pytest.approx(2 / 4)


def test_without_labels_the_models_own_are_kept() -> None:
    derived = derive(measured(), OWN)
    assert derived.kept == ["similar", "very_similar"]
    assert (derived.thresholds.similar, derived.thresholds.very_similar) == (OWN.similar, OWN.very_similar)


def test_a_gallery_of_one_label_keeps_one_of_them() -> None:
    derived = derive(measured(one_label=spread(0.3, 0.9)), OWN)
    assert derived.kept == ["similar"]
    assert derived.thresholds.very_similar == pytest.approx(0.7, abs=0.0015)


def test_labels_that_say_nothing_leave_the_thresholds_in_order() -> None:
    found = derive(measured(spread(0.5, 0.6), spread(0.0, 0.9), spread(0.0, 0.9)), OWN).thresholds
    assert found.similar == found.very_similar == found.same == found.duplicate == pytest.approx(0.899, abs=0.0015)


# --- Pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_changes_the_picture_and_not_the_original(name: str) -> None:
    original = drawn(3)
    before = original.tobytes()
    altered = ALTERATIONS[name](original)
    assert original.tobytes() == before
    assert altered.mode == "RGB"
    assert (altered.size, altered.tobytes()) != (original.size, before)


def test_alterations_are_as_strong_as_they_say() -> None:
    grey = Pillow.new("RGB", (200, 100), (100, 100, 100))
    assert ALTERATIONS["half size"](grey).size == (100, 50)
    assert ALTERATIONS["5 % cropped"](grey).size == (190, 96)
    assert ALTERATIONS["brightness x 1.3"](grey).getpixel((0, 0)) == (130, 130, 130)
    banner = ALTERATIONS["with a banner"](grey)
    assert [banner.getpixel((50, y)) for y in (89, 90, 99)] == [(100,) * 3, (255,) * 3, (255,) * 3]
