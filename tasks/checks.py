"""System checks: a clear message for each setting with which no worker could start."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 (Django's name)
from django.db import DatabaseError

from engine.errors import UnknownModel
from engine.networks import registry
from gallery.curation import pictures
from gallery.index import generations
from tasks import active_model


@register()
def model_is_known(**_: Any) -> list[CheckMessage]:
    """Refuse a model that this version does not have."""
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
    """Refuse a size that is smaller than the input of models, or that takes too much memory to decode."""
    if pictures.KEPT_PX <= settings.SIMSEARCH_KEPT_PX <= pictures.MOST_KEPT_PX:
        return []
    between = f"between {pictures.KEPT_PX} and {pictures.MOST_KEPT_PX}"
    return [Error(f"SIMSEARCH_KEPT_PX: {settings.SIMSEARCH_KEPT_PX} is not {between}.", id="simsearch.E003")]


@register()
def index_can_be_reached(**_: Any) -> list[CheckMessage]:
    """Refuse an unknown index engine, and Milvus without an address or its client."""
    if settings.SIMSEARCH_INDEX not in {"annoy", "milvus"}:
        return [Error(f"SIMSEARCH_INDEX={settings.SIMSEARCH_INDEX}: choose annoy or milvus.", id="simsearch.E004")]
    if settings.SIMSEARCH_INDEX == "annoy":
        return []
    if not settings.SIMSEARCH_MILVUS_URI.startswith(("http://", "https://")):
        problem = "SIMSEARCH_MILVUS_URI is not the address of a Milvus server, such as http://127.0.0.1:19530."
        return [Error(problem, id="simsearch.E005")]
    if "__" in settings.SIMSEARCH_MILVUS_PREFIX or not settings.SIMSEARCH_MILVUS_PREFIX.isidentifier():
        problem = "SIMSEARCH_MILVUS_PREFIX: take letters, digits and single underscores."
        return [Error(problem, id="simsearch.E006")]
    # The web process does not speak to Milvus, and its container has neither client nor torch.
    if find_spec("torch") and find_spec("pymilvus") is None:
        problem = "SIMSEARCH_INDEX=milvus needs pymilvus: pip install pymilvus -c constraints.txt"
        return [Error(problem, id="simsearch.E007")]
    return []


@register(Tags.database)
def model_is_served(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn when another model is configured than the active one, if the check may read the database."""
    try:
        active_id = generations.active_model_id() if databases else None
    except DatabaseError:
        return []
    message = active_model.disagreement(active_id) if active_id else ""
    return [Warning(message, id="simsearch.W001")] if message else []
