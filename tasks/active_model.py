"""The active model: which one it is, and where its weights are.

The active index generation names it. The environment (SIMSEARCH_MODEL, SIMSEARCH_WEIGHTS) only names the model of the
first index; from then on only `manage.py switch_model` changes it. Its weights are copied into the data directory,
under the model's id: neither a deleted file nor a release that bundles other weights changes the active model.

Importable without torch: the system checks need it.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from engine.errors import BadWeights
from engine.networks import registry
from gallery.index import embeddings, generations
from gallery.models import IndexGeneration
from gallery.storage import disk, files
from tasks import stores

if TYPE_CHECKING:
    from engine.networks.embedder import Embedder

logger = logging.getLogger(__name__)


def load_active() -> "Embedder":
    """Load the active model, or the configured one. Raises UnknownModel, BadDevice, BadWeights."""
    active_id = generations.active_model_id()
    embedder = load(active_id) if active_id else load_named(configured_name(), configured_weights())
    try:
        keep_weights(embedder)
    except OSError as error:
        logger.warning("the weights of %s could not be kept: %s", embedder.model_id, error)
    return embedder


def load(model_id: str) -> "Embedder":
    """Load the model of this id. Raises as load_named, and BadWeights when its weights are not here."""
    name = registry.identified(model_id).name
    embedder = load_named(name, _find_weights(model_id, name))
    if embedder.model_id != model_id:
        raise BadWeights(
            f"The weights of {model_id} are not here (there are those of {embedder.model_id}); "
            f"copy them to {kept_weights(model_id)}, "
            f"or change to the model that is here: manage.py switch_model {name}."
        )
    return embedder


def load_named(name: str, weights: Path | None = None) -> "Embedder":
    """Load a model by name with the weights of that file, or its own. Raises UnknownModel, BadDevice, BadWeights."""
    from engine.networks.embedder import Embedder

    return Embedder.load(
        name,
        device=settings.SIMSEARCH_DEVICE,
        weights=weights,
        threads=settings.SIMSEARCH_THREADS,
        batch=settings.SIMSEARCH_BATCH,
    )


def kept_weights(model_id: str) -> Path:
    """Return where the weights of this model are kept."""
    path: Path = settings.WEIGHTS_ROOT / model_id
    return path


def keep_weights(embedder: "Embedder") -> None:
    """Copy the weights into the data directory, where every worker finds them, and to where other hosts do.

    Raises OSError (a full disk, a storage that is away).
    """
    kept = kept_weights(embedder.model_id)
    if embedder.weights != kept:
        disk.write_whole(kept, embedder.weights.read_bytes())
    if files.is_remote() and not _shared_weights(embedder.model_id).exists():
        files.write(_shared_weights(embedder.model_id), kept)


def _shared_weights(model_id: str) -> files.Stored:
    return files.Stored("index", f"weights/{model_id}")


def _find_weights(model_id: str, name: str) -> Path | None:
    """Return the first file with these weights, copied here if another host has it; None: only the model's own can."""
    kept = kept_weights(model_id)
    if files.is_remote() and not kept.exists():
        try:
            disk.write_whole(kept, _shared_weights(model_id).read_bytes())
        except FileNotFoundError:
            pass  # no host shares it
        except OSError as error:
            logger.warning("the weights of %s could not be fetched: %s", model_id, error)
    for path in (kept, configured_weights()):
        if path and path.is_file() and registry.model_id(name, registry.checksum(path)) == model_id:
            return path
    return None


def is_outdated(model_id: str) -> bool:
    """Return whether this model is active with a generation that this version cannot open as it is."""
    active = generations.active()
    return active is not None and active.model_id == model_id and stores.chosen().is_outdated(active)


# --- The configured model, and models of earlier versions -----------------------------------------------------


def configured_name() -> str:
    """Return the name of the configured model."""
    return settings.SIMSEARCH_MODEL or registry.DEFAULT


def configured_weights() -> Path | None:
    """Return the configured weights file; None: the model's own."""
    return Path(settings.SIMSEARCH_WEIGHTS) if settings.SIMSEARCH_WEIGHTS else None


def disagreement(active_id: str) -> str:
    """Return a sentence if another model than the active one is configured, else nothing."""
    name, file = configured_name(), configured_weights()
    if not (settings.SIMSEARCH_MODEL or file):
        return ""
    agrees = active_id.partition("-")[0] == name
    if agrees and file:
        try:
            agrees = registry.model_id(name, registry.checksum(file)) == active_id
        except BadWeights:
            agrees = False
    if agrees:
        return ""
    with_file, option = (f" with {file}", f" --weights {file}") if file else ("", "")
    return (
        f"SIMSEARCH_MODEL asks for {name}{with_file}, but {active_id} is the active model, and stays; "
        f"to change to the other one run manage.py switch_model {name}{option}."
    )


def retired_notice() -> str:
    """Return a sentence if a removed model embedded this gallery; nothing while there is an index."""
    if generations.active_model_id():
        return ""
    made = IndexGeneration.objects.values_list("model_id", flat=True)  # the newest first
    for model_id in [*made, *sorted(embeddings.model_ids())]:
        if not registry.is_known(model_id):
            return f"This gallery was indexed by {model_id}, which this version no longer has."
    return ""
