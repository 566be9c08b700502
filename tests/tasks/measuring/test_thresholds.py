"""What a model's cosines mean: measured in this gallery, or as the model comes."""

import pytest
from django.db import IntegrityError

from engine.errors import UnknownModel
from engine.networks import registry
from engine.networks.registry import Thresholds
from gallery.models import Calibration
from tasks.measuring.thresholds import store, thresholds
from tests.engine.galleries import MODEL_ID

pytestmark = pytest.mark.django_db

MEASURED = Thresholds(same=0.9, very_similar=0.7, similar=0.5, duplicate=0.95)


def test_a_model_comes_with_thresholds() -> None:
    assert thresholds(MODEL_ID) == registry.get("efficientnet_lite0").thresholds


def test_measured_ones_take_their_place_for_this_model_alone() -> None:
    store(MODEL_ID, MEASURED, 100)
    assert thresholds(MODEL_ID) == MEASURED
    assert thresholds("alexnet-7be5be791159-p1") == registry.get("alexnet").thresholds


def test_the_last_measurement_counts() -> None:
    store(MODEL_ID, Thresholds(0.8, 0.4, 0.3, 0.8), 10)
    store(MODEL_ID, MEASURED, 100)
    assert thresholds(MODEL_ID) == MEASURED
    assert Calibration.objects.get().pictures == 100


@pytest.mark.parametrize(
    "wrong",
    [
        Thresholds(same=0.6, very_similar=0.7, similar=0.5, duplicate=0.95),
        Thresholds(same=0.9, very_similar=0.4, similar=0.5, duplicate=0.95),
        Thresholds(same=0.9, very_similar=0.7, similar=0.5, duplicate=0.65),
        Thresholds(same=1.1, very_similar=0.7, similar=0.5, duplicate=0.95),
    ],
)
def test_the_database_refuses_thresholds_out_of_order(wrong: Thresholds) -> None:
    with pytest.raises(IntegrityError):
        store(MODEL_ID, wrong, 100)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownModel):
        thresholds("compact-0123456789ab-p1")
