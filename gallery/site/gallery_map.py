"""The map of the gallery: a page, and the places of its pictures. A setting opens it to everybody."""

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.db.models import Count, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from gallery.models import MapPoint

DIGITS = 5  # of a place: a hundredth of a pixel on a screen of 1,000
# The places are cached per process for this time, so changed labels appear late. Hidden pictures disappear at once.
CACHE_KEY, CACHED_S = "simsearch:map", 10


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the map; its script fetches the places, and the matches of the query that the address names."""
    if not _may_see(request):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    return render(request, "gallery/map.html", {"count": _points().count()})


@require_safe
@conditional_page
@cache_control(private=True, no_cache=True)  # the browser keeps it with an ETag and revalidates each time
def points(request: HttpRequest) -> HttpResponse:
    """Return the labels, and id, place and number of the label of each visible picture."""
    if not _may_see(request):
        raise Http404
    # It changes with each picture that is hidden, shown or moved.
    version = _points().aggregate(Count("x"), Sum("x"), Sum("y"))
    body = cache.get_or_set(f"{CACHE_KEY}:{'-'.join(map(str, version.values()))}", _places, CACHED_S)
    return HttpResponse(body, content_type="application/json")


def _places() -> bytes:
    numbers: dict[str, int] = {}
    placed: list[Any] = [
        [image.hex, round(x, DIGITS), round(y, DIGITS), numbers.setdefault(label, len(numbers))]
        for image, x, y, label in _points().order_by("image__label").values_list("image_id", "x", "y", "image__label")
    ]
    return json.dumps({"labels": list(numbers), "points": placed}, separators=(",", ":")).encode()


def _points() -> "QuerySet[MapPoint]":
    return MapPoint.objects.filter(image__is_hidden=False)


def _may_see(request: HttpRequest) -> bool:
    return settings.SIMSEARCH_PUBLIC_MAP or request.user.is_staff
