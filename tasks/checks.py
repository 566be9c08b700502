"""System checks: a setting that no worker could start with is one clear line before anything starts."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 (Django's name)
from django.db import DatabaseError

from engine.errors import UnknownModel
from engine.networks import registry
from gallery.curation import generations, pictures
from tasks import active_model


@register()
def model_is_known(**_: Any) -> list[CheckMessage]:
    """Refuse a network that this version does not have."""
    try:
        registry.get(active_model.configured_name())
    except UnknownModel as error:
        return [Error(f"SIMSEARCH_MODEL: {error}", id="simsearch.E001")]
    return []


@register()
def weights_file_exists(**_: Any) -> list[CheckMessage]:
    """Refuse a weights file that is missing."""
    weights = active_model.configured_weights()
    if weights and not weights.is_file():
        return [Error(f"SIMSEARCH_WEIGHTS: there is no file {weights}.", id="simsearch.E002")]
    return []


@register()
def kept_size_is_possible(**_: Any) -> list[CheckMessage]:
    """Refuse a size that is smaller than what networks see, or that takes too much memory to decode."""
    if pictures.KEPT_PX <= settings.SIMSEARCH_KEPT_PX <= pictures.MOST_KEPT_PX:
        return []
    between = f"between {pictures.KEPT_PX} and {pictures.MOST_KEPT_PX}"
    return [Error(f"SIMSEARCH_KEPT_PX: {settings.SIMSEARCH_KEPT_PX} is not {between}.", id="simsearch.E003")]


@register(Tags.database)
def model_is_served(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn when another network is configured than the active one, if the check may read the database."""
    try:
        served = generations.served() if databases else None
    except DatabaseError:
        return []
    message = active_model.disagreement(served) if served else ""
    return [Warning(message, id="simsearch.W001")] if message else []
