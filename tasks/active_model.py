"""The network that serves: which one it is, and where its weights are.

The active index generation names it. The environment (SIMSEARCH_MODEL, SIMSEARCH_WEIGHTS) only says by what the first
index is made; from then on `manage.py switch_model` alone changes it. Its weights are copied into the data directory,
under the network's identity: neither a deleted file nor a release that bundles other weights changes what serves.
"""

import logging
from pathlib import Path

from django.conf import settings

from engine.errors import BadWeights
from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery import files
from gallery.curation import generations
from tasks import configured

logger = logging.getLogger(__name__)


def load_served() -> Embedder:
    """Load the active network, or the configured one. Raises UnknownModel, BadDevice, BadWeights."""
    served = generations.served()
    embedder = load(served) if served else load_named(configured.name(), configured.weights())
    try:
        keep_weights(embedder)
    except OSError as error:
        logger.warning("the weights of %s could not be kept: %s", embedder.network, error)
    return embedder


def load(network: str) -> Embedder:
    """Load the network of this identity. Raises as load_named, and BadWeights when its weights are not here."""
    name = registry.identified(network).name
    embedder = load_named(name, _find_weights(network, name))
    if embedder.network != network:
        raise BadWeights(
            f"The weights of {network} are not here (there are those of {embedder.network}); "
            f"bring them to {kept_weights(network)}, or change to what is here: manage.py switch_model {name}."
        )
    return embedder


def load_named(name: str, weights: Path | None = None) -> Embedder:
    """Load a network with the weights of that file, or its own. Raises UnknownModel, BadDevice, BadWeights."""
    return Embedder.load(
        name,
        device=settings.SIMSEARCH_DEVICE,
        weights=weights,
        threads=settings.SIMSEARCH_THREADS,
        batch=settings.SIMSEARCH_BATCH,
    )


def kept_weights(network: str) -> Path:
    """Return where the weights of this identity are kept."""
    path: Path = settings.WEIGHTS_ROOT / network
    return path


def keep_weights(embedder: Embedder) -> None:
    """Copy the weights into the data directory, where every worker finds them. Raises OSError (a full disk)."""
    kept = kept_weights(embedder.network)
    if embedder.weights != kept:
        files.write_whole(kept, embedder.weights.read_bytes())


def _find_weights(network: str, name: str) -> Path | None:
    """Return the first file that holds them; None when only the network's own file can."""
    for path in (kept_weights(network), configured.weights()):
        if path and path.is_file() and registry.identity(name, registry.checksum(path)) == network:
            return path
    return None
