"""Render an evaluation as one HTML page: the figures, and the worst queries with their matches.

The page contains its pictures, so that people without access to the gallery can open it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string

from gallery.models import Embedding, Image, IndexGeneration
from tasks.measuring.evaluation import Evaluation, Labelled, Ranking, worst

WORST_QUERIES = 20


@dataclass(frozen=True)
class Picture:
    """A gallery picture on the page; `thumbnail` is a data: URI, empty when its file is missing."""

    title: str
    label: str
    thumbnail: str


@dataclass(frozen=True)
class Match:
    """A match with its cosine; `is_wrong`: it has another label than the query."""

    picture: Picture
    cosine: float
    is_wrong: bool


@dataclass(frozen=True)
class WorstQuery:
    """A query with its matches, best first."""

    picture: Picture
    precision: float
    matches: list[Match]


def render(result: Evaluation, rankings: Sequence[Ranking], labelled: Labelled, generation: IndexGeneration) -> str:
    """Return the page as HTML that refers to nothing outside itself."""
    shown_rankings = worst(rankings, WORST_QUERIES)
    places = {place for one in shown_rankings for place in (one.row, *one.matches.tolist())}
    rows = Embedding.objects.filter(id__in={labelled.ids[place] for place in places}).select_related("image")
    pictures = {row.pk: Picture(row.image.title, row.image.label, _thumbnail(row.image)) for row in rows}
    # A picture that was deleted during the evaluation has its label alone.
    shown = {place: pictures.get(labelled.ids[place], Picture("", labelled.labels[place], "")) for place in places}
    queries = [
        WorstQuery(
            shown[one.row],
            one.precision,
            [
                Match(shown[place], cosine, labelled.labels[place] != labelled.labels[one.row])
                for place, cosine in zip(one.matches.tolist(), one.cosines.tolist(), strict=True)
            ],
        )
        for one in shown_rankings
    ]
    context = {"result": result, "queries": queries, "generation": generation}
    return render_to_string("tasks/evaluation.html", context)


def _thumbnail(image: Image) -> str:
    try:
        data = image.thumbnail_file.read_bytes()
    except OSError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
