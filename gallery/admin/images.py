"""Gallery pictures in the admin site: upload, label, hide, delete."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from gallery import text
from gallery.addresses import address
from gallery.admin import adding, downloads
from gallery.admin.base import BulkAdmin
from gallery.admin.filters import DuplicatesFilter, EmbeddingFilter, ValuesFilter
from gallery.curation import bulk, library, zips
from gallery.curation.folders import image_table
from gallery.errors import Refusal
from gallery.models import LONGEST_TITLE, Embedding, Image, IndexGeneration
from gallery.results import matches
from gallery.site import submit
from gallery.site.forms import NewImageForm
from gallery.text import LONGEST_LABEL, folded


def thumbnail_of(image: Image | matches.Picture) -> SafeString | str:
    """Return the thumbnail as HTML."""
    if isinstance(image, Image) and image.is_pending:
        return "not decoded yet"
    side, name = "width" if image.width_px >= image.height_px else "height", image.title or _("Untitled picture")
    return format_html('<img src="{}" alt="{}" {}="96" loading="lazy">', image.thumbnail_url, name, side)


VIEWS = ("grid", "table")


class ImageList(ChangeList):
    """The list, as a grid of thumbnails or as a table."""

    def get_filters_params(self, params: Any = None) -> Any:
        """Leave out the parameter of the view."""
        found = super().get_filters_params(params)
        found.pop("view", None)
        return found


class ImageActionForm(ActionForm):
    """The choice of an action, with the label to set."""

    label = forms.CharField(
        required=False,
        max_length=LONGEST_LABEL,
        label=gettext_lazy("Label:"),
        widget=forms.TextInput(attrs={"list": "labels", "size": 16, "autocomplete": "off"}),
    )


@admin.register(Image)
class ImageAdmin(BulkAdmin[Image]):
    list_display = ["thumbnail", "name", "label", "is_hidden", "has_embedding", "taken", "created_at", "similar"]
    list_display_links = ["thumbnail"]
    list_editable = ["label"]
    list_filter = [
        "is_hidden",
        EmbeddingFilter,
        DuplicatesFilter,
        ("created_at", admin.DateFieldListFilter),
        ("taken_at", admin.DateFieldListFilter),
        ("label", ValuesFilter),
    ]
    list_per_page = 60
    action_form = ImageActionForm
    change_list_template = "admin/gallery/image/change_list.html"
    search_fields = ["title_folded", "label_folded", "content_hash"]
    search_help_text = "Part of a title, a label or a content hash. Case and accents do not matter."
    readonly_fields = ["preview", "content_hash", "width_px", "height_px", "problem", "taken_at", "created_at"]
    actions = ["set_label", "hide", "show", "download", "table", "delete_selected"]

    def get_urls(self) -> list[URLPattern]:
        """Add undo and the page for many pictures."""
        undo = path("undo/", self.admin_site.admin_view(require_POST(self.undo)), name="gallery_image_undo")
        return [undo, *adding.urls(), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list class with the views."""
        return ImageList

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Give each label field a name for screen readers, which do not see its row."""
        base = super().get_changelist_form(request, **kwargs)

        class Named(base):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.fields["label"].widget.attrs |= {"aria-label": _("Label of %s") % self.instance, "list": "labels"}

        return Named

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list in the last chosen view, with undo and rebuild."""
        chosen = request.GET.get("view")
        if chosen in VIEWS:
            request.session["image_view"] = chosen
        view = request.session.get("image_view", VIEWS[0])
        is_shown, may_change = request.method == "GET", self.has_change_permission(request)
        context = {
            "view": view,
            "views": VIEWS,
            "labels": adding.all_labels(),
            "undoable": bulk.undoable(request.user.get_username()) if is_shown and may_change else None,
            "may_rebuild": self.has_index_permission(request),
        }
        return super().changelist_view(request, (extra_context or {}) | context)

    def undo(self, request: HttpRequest) -> HttpResponse:
        """Undo the last action of this account that hid, showed or labelled pictures."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        count, is_done = bulk.undo(request.user.get_username())
        if not count:
            self.message_user(request, _("There is nothing to undo."), messages.WARNING)
        elif is_done:
            told = ngettext("Undone for %d picture.", "Undone for %d pictures.", count) % count
            self.message_user(request, told, messages.SUCCESS)
        else:
            self.message_user(request, _("The pictures are being changed back."), messages.INFO)
        return redirect("admin:gallery_image_changelist")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Image]:
        """Add to each picture whether it has an embedding."""
        # Searches cannot use the embeddings of another model.
        in_use = IndexGeneration.objects.filter(is_active=True)
        is_usable = Q(model_id__in=in_use.values("model_id")) | ~Exists(in_use)
        embeddings = Embedding.objects.filter(is_usable, image=OuterRef("content_hash"))
        return super().get_queryset(request).annotate(embedded=Exists(embeddings))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Image], search_term: str
    ) -> tuple[QuerySet[Image], bool]:
        """Search without regard to case and accents."""
        return super().get_search_results(request, queryset, folded(search_term))

    def get_form(self, request: HttpRequest, obj: Image | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form; a new picture needs a file, an old one keeps it."""
        return super().get_form(request, obj, change, **(kwargs if obj else kwargs | {"form": NewImageForm}))

    def get_fields(self, request: HttpRequest, obj: Image | None = None) -> Any:
        """Return the fields of the form; a new picture has fewer."""
        fields = ["title", "label", "is_hidden"]
        return [*fields, *self.readonly_fields] if obj else ["file", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Image | None = None) -> Any:
        """Return the fields that cannot be edited; a new picture has fewer."""
        return self.readonly_fields if obj else []

    def save_model(self, request: HttpRequest, obj: Image, form: ModelForm[Image], change: bool) -> None:
        """Keep a new picture, or store what was edited."""
        if change:
            super().save_model(request, obj, form, change)
            return
        submit.check_space(request)
        file = form.cleaned_data["file"]
        obj.title = obj.title or zips.title_of(file.name or "")[:LONGEST_TITLE]
        library.upload(obj, file)

    def response_add(self, request: HttpRequest, obj: Image, post_url_continue: Any = None) -> HttpResponse:
        """Keep the label for the next picture."""
        response = super().response_add(request, obj, post_url_continue)
        if "_addanother" in request.POST and obj.label:
            return redirect(f"{request.path}?{urlencode({'label': obj.label})}")
        return response

    def delete_model(self, request: HttpRequest, obj: Image) -> None:
        """Delete one picture and its files."""
        library.remove(Image.objects.filter(pk=obj.pk))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add a picture; a full disk, or a picture that was just added elsewhere, shows a message."""
        try:
            return super().add_view(request, form_url, extra_context)
        except (Refusal, library.AlreadyThere) as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirect(request.path)

    @admin.display(description="picture")
    def thumbnail(self, image: Image) -> SafeString | str:
        """Return the thumbnail as HTML."""
        return thumbnail_of(image)

    @admin.display(description="title", ordering="title")
    def name(self, image: Image) -> str:
        """Return the title."""
        return image.title or "—"

    @admin.display(description="taken", ordering="taken_at", empty_value="")
    def taken(self, image: Image) -> datetime | None:
        """Return when it was photographed."""
        return image.taken_at

    @admin.display(description="similar")
    def similar(self, image: Any) -> SafeString | str:
        """Open a search for pictures like this one; it uses the CSRF token of the list's form."""
        if image.is_pending or image.is_hidden or not image.embedded:
            return "—"
        label = _("Find pictures like %s") % image
        return format_html(
            '<button class="button" formaction="{}" formtarget="_blank" title="{}" aria-label="{}">≈</button>',
            address("more_like", image.pk),
            label,
            label,
        )

    @admin.display(description="picture")
    def preview(self, image: Image) -> SafeString | str:
        """Return the picture as HTML."""
        if image.is_pending:
            return thumbnail_of(image)
        picture = '<a href="{}"><img src="{}" alt="{}" width="{}"></a>'
        width_px = min(image.width_px, 512)
        return format_html(picture, image.picture_url, image.preview_url, _("Open the picture"), width_px)

    @admin.display(description="ready", boolean=True, ordering="embedded")
    def has_embedding(self, image: Any) -> bool:
        """Tell whether the active model has embedded the picture."""
        return bool(image.embedded)

    @admin.action(description="Hide the selected pictures from searches", permissions=["change"])
    def hide(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        """Hide the chosen pictures."""
        self.run(request, "hide", images)

    @admin.action(description="Show the selected pictures again", permissions=["change"])
    def show(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        """Show the chosen pictures again."""
        self.run(request, "show", images)

    @admin.action(description="Set the label of the selected pictures", permissions=["change"])
    def set_label(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        """Give the pictures the label beside the action."""
        label = text.kept_label(request.POST.get("label", "").replace("\0", ""))
        if label:
            self.run(request, "label", images, label)
        else:
            self.message_user(request, _("Type the label beside the action first."), messages.WARNING)

    @admin.action(description="Download the selected pictures", permissions=["view"])
    def download(self, request: HttpRequest, images: QuerySet[Image]) -> HttpResponseBase | None:
        """Send the pictures as an archive."""
        if images.count() > downloads.MOST:
            told = _("At most %d pictures in one download; `manage.py export` writes all.") % downloads.MOST
            self.message_user(request, told, messages.WARNING)
            return None
        return downloads.sent(downloads.archive(images), "pictures.zip", "application/zip")

    @admin.action(description="Download a table of the selected pictures (CSV)", permissions=["view"])
    def table(self, request: HttpRequest, images: QuerySet[Image]) -> HttpResponseBase:
        """Send the data of the pictures as CSV."""
        return downloads.sent(downloads.table(images), image_table.NAME, "text/csv; charset=utf-8")
