"""Render an evaluation as one HTML page: the figures, and the worst queries with their matches.

The page contains its pictures, so that people without access to the gallery can open it.
"""

import base64
from typing import Any
from uuid import UUID

from django.template.loader import render_to_string

from gallery.models import Image, IndexGeneration
from tasks.measuring.evaluation import Evaluation


def render(result: Evaluation, queries: list[dict[str, Any]], generation: IndexGeneration) -> str:
    """Return the page as HTML that refers to nothing outside itself; `queries`: those of `worst_queries`."""
    named = {one["image"] for query in queries for one in (query, *query["matches"])} - {""}
    images = Image.objects.in_bulk([UUID(id_) for id_ in named])
    pictures = {str(pk): {"title": image.title, "thumbnail": _data_uri(image)} for pk, image in images.items()}
    shown = [
        query
        | {
            "picture": pictures.get(query["image"]),
            "matches": [
                match | {"picture": pictures.get(match["image"]), "is_wrong": match["label"] != query["label"]}
                for match in query["matches"]
            ],
        }
        for query in queries
    ]
    return render_to_string("tasks/evaluation.html", {"result": result, "queries": shown, "generation": generation})


def _data_uri(image: Image) -> str:
    """Return the thumbnail as a data: URI, empty when its file is missing."""
    try:
        data = image.thumbnail_file.read_bytes()
    except OSError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
