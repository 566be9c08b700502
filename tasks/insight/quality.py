"""Measure the search quality for the admin, as `manage.py evaluate` does."""

from dataclasses import asdict
from typing import Any

from gallery.models import Embedding, IndexGeneration
from tasks import stores
from tasks.insight.surroundings import Advance
from tasks.measuring.evaluation import Labelled, Ranking, evaluate, steps, worst

MATCHES = 10  # precision@10
WORST_QUERIES = 20


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
    queries = _queries(worst(rankings, WORST_QUERIES), labelled)
    figures = asdict(result)
    figures["searched"] = figures.pop("queries")
    # `network` is the stored key of the model's id, which the version before reads.
    return figures | {"generation": generation.number, "network": generation.model_id, "queries": queries}


def _queries(rankings: list[Ranking], labelled: Labelled) -> list[dict[str, Any]]:
    ids = {labelled.ids[place] for one in rankings for place in (one.row, *one.matches.tolist())}
    images = dict(Embedding.objects.filter(id__in=ids).values_list("id", "image__id"))  # not those deleted meanwhile

    def picture(place: int) -> dict[str, Any]:
        image = images.get(labelled.ids[place])
        return {"image": str(image or ""), "label": labelled.labels[place]}

    return [
        picture(one.row)
        | {
            "precision": round(one.precision, 3),
            "matches": [
                picture(place) | {"cosine": round(cosine, 3)}
                for place, cosine in zip(one.matches.tolist(), one.cosines.tolist(), strict=True)
            ],
        }
        for one in rankings
    ]
