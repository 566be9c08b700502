"""The network that the environment asks for. It counts only while there is no index; see `tasks.active_model`.

Importable without torch: the system checks need it.
"""

from pathlib import Path

from django.conf import settings

from engine.errors import BadWeights
from engine.networks import registry


def name() -> str:
    """Return the name of the configured network."""
    return settings.SIMSEARCH_MODEL or registry.DEFAULT


def weights() -> Path | None:
    """Return the configured weights file; None: the network's own."""
    return Path(settings.SIMSEARCH_WEIGHTS) if settings.SIMSEARCH_WEIGHTS else None


def disagreement(served: str) -> str:
    """Return a sentence when another network is configured than the active one, else nothing."""
    if not (settings.SIMSEARCH_MODEL or settings.SIMSEARCH_WEIGHTS) or _is(served):
        return ""
    file = f" with {weights()}" if weights() else ""
    option = f" --weights {weights()}" if weights() else ""
    return (
        f"SIMSEARCH_MODEL asks for {name()}{file}, but the gallery is served by {served}, which stays; "
        f"to change to the other one run manage.py switch_model {name()}{option}."
    )


def _is(served: str) -> bool:
    file = weights()
    if served.partition("-")[0] != name() or file is None:
        return served.partition("-")[0] == name()
    try:
        return registry.identity(name(), registry.checksum(file)) == served
    except BadWeights:
        return False
