"""Helpers of these pages: permissions, the frame of the admin site, the state of an analysis."""

from typing import Any, TypeVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gallery.insight import analyses
from gallery.models import Analysis

VIEW, CHANGE = "gallery.view_image", "gallery.change_image"
NAMES = {
    Analysis.Kind.DUPLICATES: ("duplicates", _("Look for duplicates")),
    Analysis.Kind.MISLABELS: ("mislabels", _("Look for wrong labels")),
    Analysis.Kind.MAP: ("map", _("Draw the map")),
    Analysis.Kind.EVALUATION: ("evaluation", _("Measure the search quality")),
}
Row = TypeVar("Row")


def require(request: HttpRequest, *permissions: str) -> None:
    """Refuse accounts that have none of these permissions. Raises PermissionDenied."""
    if not any(request.user.has_perm(permission) for permission in permissions):
        raise PermissionDenied


def frame(request: HttpRequest, template: str, title: Any, context: dict[str, Any]) -> HttpResponse:
    """Return a page inside the frame of the admin site."""
    return TemplateResponse(request, template, admin.site.each_context(request) | {"title": title} | context)


def paged(request: HttpRequest, rows: "QuerySet[Any]", size: int) -> "Page[Any]":
    """Return the requested page of these rows."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def identifier(text: str) -> UUID:
    """Return the id in a form. Raises BadRequest."""
    try:
        return UUID(text)
    except ValueError as error:
        raise BadRequest("That is no id.") from error


def number(text: str) -> int:
    """Return the number of a row in a form. Raises BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest("That is no number of a row.")
    return int(text)


def state(kind: Analysis.Kind) -> dict[str, Any]:
    """Return what `_analysis.html` shows of an analysis."""
    return {"analysis": analyses.get(kind), "action": NAMES[kind][1]}


@require_safe
@never_cache
def progress(request: HttpRequest, kind: str) -> HttpResponse:
    """Return the part with the progress of an analysis; at its end the whole page is reloaded."""
    require(request, VIEW)
    context = state(_kind(kind))
    response = render(request, "admin/insight/_analysis.html", context)
    if not context["analysis"].is_under_way:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def run(request: HttpRequest, kind: str) -> HttpResponse:
    """Have a worker run an analysis."""
    require(request, CHANGE)
    analyses.request(_kind(kind))
    return redirect(f"admin:insight_{NAMES[_kind(kind)][0]}")


def _kind(text: str) -> Analysis.Kind:
    if text not in Analysis.Kind.values:
        raise Http404
    return Analysis.Kind(text)
