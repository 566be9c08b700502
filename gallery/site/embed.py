"""A search box for other sites: a page for an iframe, and a script that inserts this iframe."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from gallery.errors import Refusal
from gallery.queries.accept import Parameters
from gallery.site import submit
from gallery.site.pages import with_upload_form
from gallery.site.views import MOST_SHOWN, to_result


@csrf_exempt  # browsers send no cookies from a frame of another site; like the API, this view needs none
@xframe_options_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def embed(request: HttpRequest) -> HttpResponse:
    """Show the box; a posted picture opens the page of its search in a new tab."""
    if not settings.SIMSEARCH_EMBED_ORIGINS:
        raise Http404
    error, status = "", 200
    if request.method == "POST":
        try:
            return to_result(request, submit.search(request, submit.posted(request), Parameters(k=MOST_SHOWN)))
        except Refusal as refusal:
            error, status = refusal.message, refusal.status
    response = render(request, "gallery/embed.html", with_upload_form({"error": error}), status=status)
    response._csp_replace = {"frame-ancestors": settings.SIMSEARCH_EMBED_ORIGINS}  # type: ignore[attr-defined]
    return response


@require_safe
@cache_control(public=True, max_age=3600)
def script(request: HttpRequest) -> HttpResponse:
    """Return the script that other sites include."""
    if not settings.SIMSEARCH_EMBED_ORIGINS:
        raise Http404
    return render(request, "gallery/embed.js", content_type="text/javascript")
