"""Measure the search quality for the admin, as `manage.py evaluate` does."""

from dataclasses import asdict
from typing import Any

from gallery.models import IndexGeneration
from tasks import stores
from tasks.insight.surroundings import Advance
from tasks.measuring.evaluation import Labelled, evaluate, steps, worst_queries

MATCHES = 10  # precision@10


def measure(generation: IndexGeneration, advance: Advance) -> dict[str, Any]:
    """Return the figures, and the worst queries with their matches. Raises BadIndex and NoLabels."""
    index = stores.chosen().open(generation)
    labelled = Labelled(index, generation.model_id)
    total, done = steps(index, labelled), 0

    def advance_by(count: int) -> None:
        nonlocal done
        done += count
        advance(done, total)

    result, rankings = evaluate(index, labelled, MATCHES, advance_by)
    figures = asdict(result)
    figures["searched"] = figures.pop("queries")
    # `network` is the stored key of the model's id, which the version before reads.
    return figures | {
        "generation": generation.number,
        "network": generation.model_id,
        "queries": worst_queries(rankings, labelled),
    }
