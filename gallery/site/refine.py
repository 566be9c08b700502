"""Refine a search on its page: the crop frame, "+", "−" and "remove"."""

from dataclasses import replace
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST, require_safe

from gallery.errors import Refusal
from gallery.models import Query, QueryPart
from gallery.results import crops, refinement
from gallery.results.refinement import Changes
from gallery.site import submit
from gallery.site.pages import refuse
from gallery.site.views import jpeg, to_result


@require_POST
def refine(request: HttpRequest, query_id: UUID) -> HttpResponse:
    """Search again with more or fewer pictures: `like`, `unlike` (gallery pictures), `remove` (parts of the query).

    `crop`: another part of the first picture.
    """
    row = get_object_or_404(Query.objects.select_related("like"), pk=query_id)
    try:
        ids = ([UUID(text) for text in request.POST.getlist(name)] for name in ("like", "unlike", "remove"))
        changes = Changes(*ids)
    except ValueError:
        no_picture = Refusal("invalid", _("That is no picture of the gallery; go back and choose another one."))
        return refuse(request, no_picture)
    try:
        parameters = refinement.parameters(row, changes)
        if "crop" in request.POST:
            parameters = replace(parameters, crop=crops.parsed(request.POST["crop"]))
        query = submit.search(request, refinement.pictures(row, changes), parameters)
    except Refusal as refusal:
        return refuse(request, refusal)
    return to_result(request, query)


@require_safe
@cache_control(private=True, max_age=3600)  # it is deleted with its query
def part_picture(request: HttpRequest, part_id: UUID) -> HttpResponseBase:
    """Send the file of a further picture of a query."""
    parts = QueryPart.objects.select_related(
        "query"
    )  # an inner join: the version before this one deletes queries without their parts
    return jpeg(get_object_or_404(parts, pk=part_id, has_picture=True).picture_file)
