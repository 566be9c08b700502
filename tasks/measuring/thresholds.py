"""The measured thresholds of a model in this gallery; the defaults are in `engine/networks/registry.py`.

Importable without torch.
"""

from django.utils import timezone

from engine.networks import registry
from engine.networks.registry import Thresholds
from gallery.models import Calibration


def thresholds(model_id: str) -> Thresholds:
    """Return the measured thresholds of this model, or its defaults.

    One query of the database. Raises UnknownModel.
    """
    row = Calibration.objects.filter(model_id=model_id).first()
    if row is None:
        return registry.identified(model_id).thresholds
    return Thresholds(same=row.same, very_similar=row.very_similar, similar=row.similar, duplicate=row.duplicate)


def store(model_id: str, measured: Thresholds, pictures: int) -> None:
    """Keep what was measured in a gallery of `pictures`, in the place of what was kept before.

    Raises IntegrityError unless similar <= very_similar <= same and very_similar <= duplicate.
    """
    values = {
        "same": measured.same,
        "very_similar": measured.very_similar,
        "similar": measured.similar,
        "duplicate": measured.duplicate,
        "pictures": pictures,
        "created_at": timezone.now(),
    }
    Calibration.objects.update_or_create(model_id=model_id, defaults=values)
