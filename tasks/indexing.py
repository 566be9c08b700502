"""From pictures to an active index, in one process that does nothing else: what manage.py build_index does."""

from collections.abc import Callable

from engine.errors import EngineError
from gallery.curation import generations
from gallery.models import Image
from tasks import retired
from tasks.active_model import load_served
from tasks.build import build_generation
from tasks.distribution import Stalled, embed_elsewhere
from tasks.embedding import embed_missing


class NotIndexed(Exception):
    """One sentence on why there is no new index; the active one is unchanged."""


def index(tell: Callable[[str], object], *, distributed: bool) -> str:
    """Embed what has no embedding and build a generation of everything; returns a sentence about it.

    `distributed`: have it embedded by the workers of the gallery queue. Raises NotIndexed.
    """
    try:
        embedder = load_served()
        if notice := retired.notice():
            missing = Image.objects.not_embedded(embedder.network).count()
            tell(f"{notice} Embedding its {missing} pictures with {embedder.name} and building a new index.")
        if distributed:
            embed_elsewhere(embedder.network)
        else:
            embed_missing(embedder)
        generation = build_generation(embedder.network, tell)
    except (EngineError, generations.Busy, generations.BuildFailed, Stalled) as error:
        raise NotIndexed(str(error)) from error
    state = "Active" if generation.is_active else "Kept, because another model is active now"
    return f"{state}: {generations.described(generation)}."


def plan() -> str:
    """Say in a sentence what `index` would do. Raises NotIndexed."""
    try:
        embedder = load_served()
    except EngineError as error:
        raise NotIndexed(str(error)) from error
    missing, active = Image.objects.not_embedded(embedder.network).count(), generations.active()
    planned = (
        f"{missing} of {Image.objects.count()} pictures would be embedded by {embedder.network} on "
        f"{embedder.device}, then a new generation built (active: {generations.described(active)})."
    )
    return f"{retired.notice()} {planned}".strip()
