"""The map of the gallery: a page, and the places of its pictures. For everybody or for the staff, by a setting."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from gallery.insight import analyses
from gallery.models import Analysis, MapPoint

DIGITS = 5  # of a place: a hundredth of a pixel on a screen of 1,000


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the map; its script fetches the places, and the matches of the query that the address names."""
    if not _may_see(request):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    context = {"analysis": analyses.get(Analysis.Kind.MAP), "count": _points().count()}
    return render(request, "gallery/map.html", context)


@require_safe
@cache_control(no_store=True)
def points(request: HttpRequest) -> JsonResponse:
    """Return the labels, and id, place and number of the label of each visible picture."""
    if not _may_see(request):
        raise Http404
    numbers: dict[str, int] = {}
    placed: list[Any] = [
        [image.hex, round(x, DIGITS), round(y, DIGITS), numbers.setdefault(label, len(numbers))]
        for image, x, y, label in _points().order_by("image__label").values_list("image_id", "x", "y", "image__label")
    ]
    return JsonResponse({"labels": list(numbers), "points": placed})


def _points() -> Any:
    return MapPoint.objects.filter(image__is_hidden=False)


def _may_see(request: HttpRequest) -> bool:
    return settings.SIMSEARCH_PUBLIC_MAP or request.user.is_staff
