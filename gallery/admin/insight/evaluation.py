"""The page of the search quality: the figures of `manage.py evaluate`, and the worst queries as pictures."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from gallery.admin.insight import pages
from gallery.models import Analysis, Image


@dataclass(frozen=True)
class Match:
    """A picture with its cosine; `is_wrong`: it has another label than the query."""

    image: Image | None
    label: str
    cosine: float
    is_wrong: bool


@dataclass(frozen=True)
class WorstQuery:
    """A query with its matches, best first; `image`: None once it is deleted or hidden."""

    image: Image | None
    label: str
    precision: float
    matches: list[Match]


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """Show the last evaluation."""
    pages.require(request, pages.VIEW)
    state = pages.state(Analysis.Kind.EVALUATION)
    result = state["analysis"].result
    context = state | {
        "result": result,
        "queries": _queries(result.get("queries", [])),
        "may_change": request.user.has_perm(pages.CHANGE),
    }
    return pages.frame(request, "admin/insight/evaluation.html", _("Search quality"), context)


def _queries(stored: list[dict[str, Any]]) -> list[WorstQuery]:
    named = {one["image"] for query in stored for one in (query, *query["matches"])} - {""}
    images = {str(pk): image for pk, image in Image.objects.visible().in_bulk([UUID(id_) for id_ in named]).items()}
    return [
        WorstQuery(
            images.get(query["image"]),
            query["label"],
            query["precision"],
            [
                Match(images.get(one["image"]), one["label"], one["cosine"], one["label"] != query["label"])
                for one in query["matches"]
            ],
        )
        for query in stored
    ]
