"""System checks: a setting that no worker could start with is one clear line before anything starts."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from engine import models
from engine.errors import UnknownModel


@register()
def model_is_known(**_: Any) -> list[CheckMessage]:
    try:
        models.get(settings.SIMSEARCH_MODEL)
    except UnknownModel as error:
        return [Error(f"SIMSEARCH_MODEL: {error}", id="simsearch.E001")]
    return []


@register()
def weights_file_exists(**_: Any) -> list[CheckMessage]:
    weights = settings.SIMSEARCH_WEIGHTS
    if weights and not Path(weights).is_file():
        return [Error(f"SIMSEARCH_WEIGHTS: there is no file {weights}.", id="simsearch.E002")]
    return []
