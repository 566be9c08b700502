"""Networks that earlier versions had and this one has not: a gallery that they embedded gets a new index.

Importable without torch.
"""

from engine.networks import registry
from gallery.curation import generations, networks
from gallery.models import IndexGeneration


def notice() -> str:
    """Say in a sentence which removed network embedded this gallery; nothing while there is an index, or none did."""
    if generations.served():
        return ""
    made = IndexGeneration.objects.values_list("network", flat=True)  # the newest first
    for network in [*made, *sorted(networks.known())]:
        if not registry.is_known(network):
            return f"This gallery was indexed by {network}, which this version no longer has."
    return ""
