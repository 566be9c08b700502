"""The page on which a curator adds many pictures: each file is a request with a result of its own."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gallery import text
from gallery.curation import library, zips
from gallery.curation.folders import scanning
from gallery.errors import Refusal
from gallery.models import LONGEST_TITLE, Image, ZipImport
from gallery.site import submit
from gallery.site.forms import PICTURE_TYPES
from gallery.site.pages import error_json

PROBLEMS = 100


def urls() -> list[URLPattern]:
    """Return the addresses, below those of the list of pictures."""
    inside = admin.site.admin_view
    return [
        path("add-many/", inside(page), name="gallery_image_add_many"),
        path("add-many/file/", inside(add_file), name="gallery_image_add_many_file"),
        path("add-many/zip/", inside(begin_zip), name="gallery_image_add_many_zip"),
        path("add-many/zip/<uuid:pk>/", inside(add_part), name="gallery_image_zip_part"),
        path("add-many/state/", inside(state), name="gallery_image_add_many_state"),
    ]


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm("gallery.add_image"):
        raise PermissionDenied


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the form and the results of earlier uploads."""
    _require(request)
    context = admin.site.each_context(request) | _state(request)
    context |= {
        "title": _("Add many pictures"),
        "opts": Image._meta,
        "types": PICTURE_TYPES,
        "labels": all_labels(),
        "system_folders": "|".join(scanning.SYSTEM_FOLDERS),
        "part_bytes": min(zips.PART_BYTES, settings.SIMSEARCH_MAX_UPLOAD_BYTES),
        "max_bytes": settings.SIMSEARCH_MAX_UPLOAD_BYTES,
        "label": request.GET.get("label", ""),
    }
    return TemplateResponse(request, "admin/gallery/image/add_many.html", context)


@require_safe
def state(request: HttpRequest) -> HttpResponse:
    """Show the part of the page that changes while workers decode; the page polls it."""
    _require(request)
    return render(request, "admin/gallery/image/_added.html", _state(request))


@require_POST
def add_file(request: HttpRequest) -> HttpResponse:
    """Keep one picture: 201 for a new one, 200 for one that the gallery has, otherwise a refusal with its reason."""
    _require(request)
    try:
        submit.check_space(request)
        file = request.FILES.get("file")
        if file is None:
            return error_json(request, Refusal("empty", _("No file arrived.")))
        title = zips.title_of(request.POST.get("name") or file.name or "")[:LONGEST_TITLE]
        image = Image(title=title, label=text.kept_label(request.POST.get("label", "").replace("\0", "")))
        library.upload(image, file)
    except library.AlreadyThere as known:
        return JsonResponse({"result": "known", "url": _change(known.image), "title": str(known.image)})
    except Refusal as refusal:
        return error_json(request, refusal)
    return JsonResponse({"result": "added", "url": _change(image)}, status=201)


@require_POST
def begin_zip(request: HttpRequest) -> HttpResponse:
    """Begin the upload of an archive, or continue an interrupted one; returns how many bytes have arrived."""
    _require(request)
    given = request.POST
    try:
        size = int(given.get("size", ""))
    except ValueError:
        size = 0
    try:
        row = zips.begin(
            given.get("name", "").replace("\0", "") or "pictures.zip",
            size,
            given.get("label", "").replace("\0", ""),
            request.user.get_username(),
            label_from_folder=given.get("folders") == "1",
        )
    except Refusal as refusal:
        return error_json(request, refusal)
    return JsonResponse({"url": reverse("admin:gallery_image_zip_part", args=[row.pk]), "received": row.received})


@require_POST
def add_part(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Append a part of an archive; 409 with the right offset if it does not follow the last one."""
    _require(request)
    row = get_object_or_404(ZipImport, pk=pk, requested_by=request.user.get_username())
    offset = request.GET.get("offset", "")
    try:
        row = zips.receive(row, int(offset) if offset.isdecimal() else -1, request)
    except zips.Misplaced as error:
        return JsonResponse({"received": error.received}, status=409)
    except Refusal as refusal:
        return error_json(request, refusal)
    return JsonResponse({"received": row.received})


def all_labels() -> Any:
    """Return all labels, for completion."""
    return Image.objects.exclude(label="").order_by("label").values_list("label", flat=True).distinct()[:2000]


def _state(request: HttpRequest) -> dict[str, Any]:
    waiting = Image.objects.pending().count()
    imports = list(zips.shown(request.user.get_username()))
    is_running = bool(waiting) or any(row.finished_at is None for row in imports)
    problems = Image.objects.filter(is_pending=True).exclude(problem="")[:PROBLEMS]
    return {"waiting": waiting, "imports": imports, "problems": problems, "is_running": is_running}


def _change(image: Image) -> str:
    return reverse("admin:gallery_image_change", args=[image.pk])
