"""The pages of the site: parse, call one function, render."""

from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from gallery.errors import Refusal
from gallery.models import Image, Query
from gallery.queries import lifecycle, waiting
from gallery.queries.accept import Parameters, Pictures
from gallery.results import crops, filters, matches, refinement
from gallery.site import submit
from gallery.site.pages import refuse, wants_json, with_upload_form
from gallery.storage.files import Stored

PAGE_SIZE = 48
SHOWN = 10  # matches at first, and more with each "show more"
MOST_SHOWN = 100
TOLD_WAIT_S = 2  # shorter waits end before people read about them
ORDERS = {  # of the gallery; the id decides between equals, so that no picture is on two pages
    "": ("-created_at", "id"),
    "oldest": ("created_at", "id"),
    "title": ("title_folded", "id"),
    "label": ("label_folded", "title_folded", "id"),
}
YEAR_S = 365 * 24 * 3600
SANDBOX = "default-src 'none'; sandbox"
OWNER_COOKIE = "simsearch_owner"


class HtmxRequest(HttpRequest):
    htmx: HtmxDetails


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """Show the upload form; a posted picture becomes a query and the browser is sent to its page."""
    if request.method != "POST":
        context = with_upload_form({"images": Image.objects.visible().count()})
        return render(request, "gallery/home.html", context)
    try:
        query = submit.search(request, submit.posted(request), Parameters(k=MOST_SHOWN))
    except Refusal as refusal:
        return refuse(request, refusal)
    return to_result(request, query)


@require_POST
def more_like(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Make a query from a gallery picture."""
    try:
        query = submit.search(request, Pictures(like=[_image(request, image_id)]), Parameters(k=MOST_SHOWN))
    except Refusal as refusal:
        return refuse(request, refusal)
    return to_result(request, query)


@require_safe
@cache_control(no_store=True)
def query(request: HtmxRequest, query_id: UUID) -> HttpResponse:
    """Show a query; htmx requests only its changing part. With another `crop` it offers a search for that part."""
    row = get_object_or_404(Query.objects.select_related("like"), pk=query_id)
    try:
        part = _offered_part(row, request.GET.get("crop"))
    except Refusal as refusal:
        return refuse(request, refusal)
    ahead = waiting.ahead_of(row)
    most = _most_shown(request)
    # Whether the result is shown inside another page, that of a gallery picture.
    address = row.get_absolute_url()
    is_beside = bool(request.htmx) and urlsplit(request.htmx.current_url or address).path != address
    offered = filters.of(row, request.GET) if row.is_finished and not is_beside else None
    passing = offered.passing if offered else None
    found = len(passing) if passing is not None else len(row.matches or [])
    shown = matches.shown(row, most, passing) if row.is_finished else []
    wait_s = waiting.cached().wait_s(ahead) if row.state == Query.State.WAITING else 0
    context = {
        "query": row,
        "crop": crops.text(row.crop),
        "part": part,
        "matches": shown,
        "filters": offered,
        "removed": 0 if passing is not None else min(found, most) - len(shown),
        "more": most + SHOWN if found > most else None,
        "ahead": ahead,
        "poll_after_ms": None if row.is_finished else waiting.cached().poll_after_ms(row, ahead),
        "is_late": waiting.is_late(row),
        "wait_s": round(wait_s) if wait_s > TOLD_WAIT_S else None,
        "may_delete": _may_delete(request, query_id),
        "parts": refinement.shown(row),
    }
    if row.is_finished:
        context |= {"compared": matches.compared(row), "took_ms": matches.took_ms(row)}
    if request.htmx:
        return render(request, "gallery/_query.html", context | {"is_update": True, "is_beside": is_beside})
    return render(request, "gallery/query.html", with_upload_form(context))


def _most_shown(request: HttpRequest) -> int:
    """Return how many matches the link shows: the first ten, or as many as "show more" has added."""
    text = request.GET.get("show", "")
    return min(max(SHOWN, int(text)), MOST_SHOWN) if text.isdecimal() and len(text) <= 3 else SHOWN


def _offered_part(row: Query, crop: str | None) -> str:
    """Return the crop of a link, if it is not the one that was searched.

    It becomes a button, not a search, because crawlers, previews and prefetching follow links. Raises Refusal.
    """
    if crop is None or crop == crops.text(row.crop) or row.state != Query.State.DONE:
        return ""
    part = crops.parsed(crop)
    return "" if part == (row.crop and tuple(row.crop)) else crops.text(part or crops.WHOLE)


@require_POST
def withdraw(request: HttpRequest, query_id: UUID) -> HttpResponse:
    """Delete a query at once. Only the browser that made it and staff may do so, not everyone with its link."""
    if not _may_delete(request, query_id):
        get_object_or_404(Query, pk=query_id)
        return render(request, "gallery/forbidden.html", status=403)
    if not lifecycle.withdraw(query_id):
        raise Http404
    messages.success(request, _("Your search is deleted, with its picture and its results."))
    return _to(reverse("home"))


@require_safe
@cache_control(no_store=True)
def staff(request: HttpRequest) -> HttpResponse:
    """Answer 204 to staff, else 401 or 403, for nginx's `auth_request`."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return HttpResponse(status=204 if request.user.is_staff else 403)


@require_safe
def browse(request: HtmxRequest) -> HttpResponse:
    """Show the gallery a page at a time: of a label, with words in the title or label, in some order."""
    images = Image.objects.visible()
    sent = {
        name: request.GET.get(name, "").replace("\0", "") for name in ("label", "q", "sort")
    }  # PostgreSQL refuses a NUL
    label = images.spelled(sent["label"])
    labels = images.exclude(label="").order_by("label").values_list("label", flat=True).distinct()
    sort = sent["sort"] if sent["sort"] in ORDERS else ""
    found = images.with_words(sent["q"]).order_by(*ORDERS[sort])
    page: Page[Image] = Paginator(found.filter(label=label) if label else found, PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    nearest = images.nearest_label(label) if label and not page and not sent["q"] else None
    context = {"page": page, "label": label, "labels": labels, "nearest": nearest, "q": sent["q"], "sort": sort}
    return render(request, "gallery/_page.html" if request.htmx else "gallery/browse.html", context)


@require_safe
def image(request: HttpRequest, image_id: UUID) -> HttpResponse:
    """Show the page of a gallery picture."""
    image = _image(request, image_id)
    context = {"image": image, "picture_address": request.build_absolute_uri(image.preview_url)}
    return render(request, "gallery/image.html", context)


@require_safe
@cache_control(
    private=True, max_age=YEAR_S, immutable=True
)  # only in the visitor's browser: the picture may be hidden later
def image_picture(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    """Send the file of a gallery picture."""
    return jpeg(_image(request, image_id).picture_file)


@require_safe
@cache_control(private=True, max_age=YEAR_S, immutable=True)
def image_preview(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    """Send the preview of a gallery picture."""
    return jpeg(_image(request, image_id).shown_file)


@require_safe
@cache_control(no_store=True)
def image_original(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    """Send the original file as a download, because it is untrusted. For staff who may see gallery pictures."""
    if not request.user.has_perm("gallery.view_image"):
        raise Http404
    row = get_object_or_404(Image, pk=image_id, has_original=True)
    if link := row.original_file.link(is_download=True):
        return _left_to_storage(link)
    try:
        file = row.original_file.path.open("rb")
    except FileNotFoundError as error:
        raise Http404 from error
    response = FileResponse(file, as_attachment=True, filename=str(row.pk), content_type="application/octet-stream")
    response["Content-Security-Policy"] = SANDBOX
    return response


@require_safe
@cache_control(private=True, max_age=YEAR_S, immutable=True)
def image_thumbnail(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    """Send the thumbnail of a gallery picture."""
    return jpeg(_image(request, image_id).thumbnail_file)


@require_safe
@cache_control(private=True, max_age=3600)  # it is deleted with its query
def query_picture(request: HttpRequest, query_id: UUID) -> HttpResponseBase:
    """Send the file of a query's picture."""
    return jpeg(get_object_or_404(Query, pk=query_id, has_picture=True).picture_file)


def to_result(request: HttpRequest, query: Query) -> HttpResponse:
    """Send the browser to the page of its new query, with the cookie that lets it delete the query."""
    address = query.get_absolute_url()
    link = f"{address}?crop={crops.text(query.crop)}" if query.crop else address
    if wants_json(request):  # upload.js, which shows the progress of the upload
        response: HttpResponse = JsonResponse({"url": link}, status=202)
    else:
        response = _to(link)
    # Only for the addresses of this query, so that requests do not grow with the searches of a browser.
    response.set_signed_cookie(
        OWNER_COOKIE,
        str(query.pk),
        salt=OWNER_COOKIE,
        path=address,
        max_age=settings.SIMSEARCH_QUERY_TTL_S,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def _may_delete(request: HttpRequest, query_id: UUID) -> bool:
    mine = request.get_signed_cookie(OWNER_COOKIE, default=None, salt=OWNER_COOKIE)
    return mine == str(query_id) or request.user.is_staff


def _image(request: HttpRequest, image_id: UUID) -> Image:
    """Return the gallery picture at an address; only staff see hidden ones."""
    images = Image.objects.all() if request.user.is_staff else Image.objects.visible()
    return get_object_or_404(images, pk=image_id)


def jpeg(file: Stored) -> HttpResponseBase:
    """Return the response with a JPEG file, sent by nginx or the storage if possible. Raises Http404."""
    if link := file.link():
        return _left_to_storage(link)
    response: HttpResponseBase
    try:
        if settings.SIMSEARCH_ACCEL_PREFIX:
            file.path.stat()  # for our own 404 page instead of nginx's
            address = settings.SIMSEARCH_ACCEL_PREFIX + file.name
            response = HttpResponse(content_type="image/jpeg", headers={"X-Accel-Redirect": address})
        else:
            response = FileResponse(file.path.open("rb"), content_type="image/jpeg")
    except FileNotFoundError as error:
        raise Http404 from error
    response["Content-Security-Policy"] = SANDBOX  # in case a browser takes it for something else
    return response


def _left_to_storage(link: str) -> HttpResponseBase:
    """Redirect the browser to a short-lived link; it may keep the redirect for half of its life."""
    response = HttpResponse(status=302, headers={"Location": link})
    patch_cache_control(response, max_age=settings.SIMSEARCH_S3_LINK_S // 2)
    return response


def _to(address: str) -> HttpResponse:
    response = redirect(address)
    response.status_code = 303  # the browser must use GET for the page
    return response
