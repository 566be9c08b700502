"""Error responses: JSON under /api/, a page elsewhere. And the context of pages with an upload form."""

import logging
import sys
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.views import defaults

from gallery.errors import OUTCOME, Refusal, no_space
from gallery.persistence import AWAY, is_disk_full
from gallery.site.forms import UploadForm

logger = logging.getLogger(__name__)

NO_STORE = {"Cache-Control": "no-store"}  # an answer for one visitor and one moment


def with_upload_form(context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of a page on which a picture can be uploaded."""
    now = timezone.now()
    kept_for = timesince(now - timedelta(seconds=settings.SIMSEARCH_QUERY_TTL_S), now, depth=1)
    limit = settings.SIMSEARCH_MAX_UPLOAD_BYTES
    form = {"form": UploadForm(), "max_upload_bytes": limit, "fetches_links": settings.SIMSEARCH_FETCH_LINKS}
    return context | form | {"kept_for": kept_for}


def wants_json(request: HttpRequest) -> bool:
    """Tell whether the client wants JSON: the API's clients, and scripts of our own pages."""
    return request.path.startswith("/api/") or request.headers.get("Accept") == "application/json"


def refuse(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Return the response to a refused request, with the refusal's status and headers."""
    if wants_json(request):
        return error_json(request, refusal)
    request.META[OUTCOME] = refusal.code
    context = with_upload_form({"error": refusal.message})
    response = render(request, "gallery/home.html", context, status=refusal.status)
    for name, value in refusal.headers.items():
        response[name] = value
    return response


def error_json(request: HttpRequest, refusal: Refusal) -> JsonResponse:
    """Return a refusal as JSON."""
    request.META[OUTCOME] = refusal.code
    body = {"error": {"code": refusal.code, "message": refusal.message}}
    return JsonResponse(body, status=refusal.status, headers=refusal.headers | NO_STORE)


def database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer 507 when the database has no room to write, 503 when it is locked, restarted or unreachable."""
    logger.warning("the database does not answer: %s", str(error).partition("\n")[0])
    if is_disk_full(error):
        return refuse(request, no_space())
    return refuse(request, Refusal("busy", _("The server is busy; try again in a moment."), retry_after_s=5))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404: Django's handler404."""
    if request.path.startswith("/api/"):
        return error_json(request, Refusal("not_found", _("There is nothing at this address.")))
    # The link of a search cannot be guessed, so the search existed.
    is_search = bool(request.resolver_match and request.resolver_match.view_name in {"query", "withdraw"})
    return render(request, "gallery/not_found.html", with_upload_form({"is_search": is_search}), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500: Django's handler500. A database error, also one while a session is saved, becomes 503."""
    error = sys.exc_info()[1]
    return database_away(request, error) if isinstance(error, AWAY) else defaults.server_error(request)
