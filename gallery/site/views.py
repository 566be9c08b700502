"""The pages of the site: parse, call one function, render."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from gallery.curation.nearest import nearest_label
from gallery.errors import Refusal
from gallery.files import Stored
from gallery.models import Image, Query
from gallery.queries import lifecycle, results, waiting
from gallery.queries.accept import Parameters
from gallery.site import submit
from gallery.site.forms import UploadForm
from gallery.site.pages import refuse, wants_json, with_upload_form

PAGE_SIZE = 48
YEAR_S = 365 * 24 * 3600
OWNER_COOKIE = "simsearch_owner"


class HtmxRequest(HttpRequest):
    htmx: HtmxDetails


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """The upload form; a posted picture becomes a query and the browser is sent to its page."""
    if request.method != "POST":
        context = with_upload_form({"images": Image.objects.visible().count()})
        return render(request, "gallery/home.html", context)
    form = UploadForm(request.POST, request.FILES)
    try:
        submit.check_space(request)
        if not form.is_valid():
            return refuse(request, Refusal("empty", "Choose a picture first."))
        query = submit.upload(request, form.cleaned_data["image"], Parameters())
    except Refusal as refusal:
        return refuse(request, refusal)
    return _to_result(request, query)


@require_POST
def more_like(request: HttpRequest, image_id: UUID) -> HttpResponse:
    try:
        query = submit.more_like(request, _image(request, image_id), Parameters())
    except Refusal as refusal:
        return refuse(request, refusal)
    return _to_result(request, query)


@require_safe
@cache_control(no_store=True)
def query(request: HtmxRequest, query_id: UUID) -> HttpResponse:
    """The page of a query; htmx asks for its changing part alone."""
    row = get_object_or_404(Query.objects.select_related("like"), pk=query_id)
    ahead = waiting.ahead_of(row)
    context = {
        "query": row,
        "matches": results.shown(row) if row.is_finished else [],
        "ahead": ahead,
        "poll_after_ms": None if row.is_finished else waiting.cached().poll_after_ms(row, ahead),
        "is_late": waiting.is_late(row),
        "may_delete": _may_delete(request, query_id),
    }
    if row.is_finished:
        context |= {"compared": results.compared(row), "took_ms": results.took_ms(row)}
    if request.htmx:
        return render(request, "gallery/_query.html", context | {"is_update": True})
    return render(request, "gallery/query.html", with_upload_form(context))


@require_POST
def withdraw(request: HttpRequest, query_id: UUID) -> HttpResponse:
    """Delete a query at once: the browser that made it and the staff may, others who have its link may not."""
    if not _may_delete(request, query_id):
        get_object_or_404(Query, pk=query_id)
        return render(request, "gallery/forbidden.html", status=403)
    if not lifecycle.withdraw(query_id):
        raise Http404
    messages.success(request, "Your search is deleted, with its picture and its results.")
    return _to(reverse("home"))


@require_safe
@cache_control(no_store=True)
def staff(request: HttpRequest) -> HttpResponse:
    """May this visitor see what is for the staff? 204, else 401 or 403: nginx's `auth_request` asks."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return HttpResponse(status=204 if request.user.is_staff else 403)


@require_safe
def browse(request: HttpRequest) -> HttpResponse:
    images = Image.objects.visible()
    # PostgreSQL refuses a question with a NUL in it.
    label = images.spelled(request.GET.get("label", "").replace("\0", ""))
    labels = images.exclude(label="").order_by("label").values_list("label", flat=True).distinct()
    page: Page[Image] = Paginator(images.filter(label=label) if label else images, PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    nearest = nearest_label(label) if label and not page else None
    context = {"page": page, "label": label, "labels": labels, "nearest": nearest}
    return render(request, "gallery/browse.html", context)


@require_safe
def image(request: HttpRequest, image_id: UUID) -> HttpResponse:
    return render(request, "gallery/image.html", {"image": _image(request, image_id)})


@require_safe
@cache_control(private=True, max_age=YEAR_S, immutable=True)  # of the visitor's browser alone: it may be hidden later
def image_picture(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    return _jpeg(_image(request, image_id).picture_file)


@require_safe
@cache_control(private=True, max_age=YEAR_S, immutable=True)
def image_thumbnail(request: HttpRequest, image_id: UUID) -> HttpResponseBase:
    return _jpeg(_image(request, image_id).thumbnail_file)


@require_safe
@cache_control(private=True, max_age=3600)  # it is deleted with its query
def query_picture(request: HttpRequest, query_id: UUID) -> HttpResponseBase:
    return _jpeg(get_object_or_404(Query, pk=query_id, has_picture=True).picture_file)


def _to_result(request: HttpRequest, query: Query) -> HttpResponse:
    """Send the browser to the page of its new query, with the cookie that lets it delete the query."""
    address = query.get_absolute_url()
    if wants_json(request):  # upload.js, which shows how much is sent
        response: HttpResponse = JsonResponse({"url": address}, status=202)
    else:
        response = _to(address)
    # Sent back for the addresses of this query alone, so that requests do not grow with the searches of a browser.
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
    """The one door from an address to a gallery picture: hidden ones are there for the staff alone."""
    images = Image.objects.all() if request.user.is_staff else Image.objects.visible()
    return get_object_or_404(images, pk=image_id)


def _jpeg(file: Stored) -> HttpResponseBase:
    """Send a picture that this visitor may see."""
    if link := file.link():
        return _left_to_storage(link)
    try:
        response = _left_to_nginx(file) if settings.SIMSEARCH_ACCEL_PREFIX else _sent(file)
    except FileNotFoundError as error:
        raise Http404 from error
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"  # whatever a browser may take it for
    return response


def _left_to_storage(link: str) -> HttpResponseBase:
    """Send the browser to a link that ends soon; it may keep the redirect for half of that time."""
    response = HttpResponse(status=302, headers={"Location": link})
    patch_cache_control(response, max_age=settings.SIMSEARCH_S3_LINK_S // 2)
    return response


def _left_to_nginx(file: Stored) -> HttpResponseBase:
    file.path.stat()  # a page of ours when it is gone, not nginx's
    address = settings.SIMSEARCH_ACCEL_PREFIX + file.name
    return HttpResponse(content_type="image/jpeg", headers={"X-Accel-Redirect": address})


def _sent(file: Stored) -> HttpResponseBase:
    return FileResponse(file.path.open("rb"), content_type="image/jpeg")


def _to(address: str) -> HttpResponse:
    response = redirect(address)
    response.status_code = 303  # the browser shall GET the page, whatever it did here
    return response
