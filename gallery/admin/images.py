"""Gallery pictures in the admin site: upload, label, hide, delete."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gallery.admin.base import BulkAdmin
from gallery.admin.generations import start_rebuild
from gallery.curation import generations, library
from gallery.errors import Refusal
from gallery.models import Embedding, Image
from gallery.queries import results
from gallery.site import submit
from gallery.site.forms import NewImageForm
from gallery.text import folded


def thumbnail_of(image: Image | results.Picture) -> SafeString | str:
    """Return the thumbnail as HTML."""
    if isinstance(image, Image) and image.is_pending:
        return "not decoded yet"
    side = "width" if image.width_px >= image.height_px else "height"
    return format_html('<img src="{}" alt="" {}="96" loading="lazy">', image.thumbnail_url, side)


@admin.register(Image)
class ImageAdmin(BulkAdmin[Image]):
    list_display = ["thumbnail", "title", "label", "is_hidden", "has_embedding", "created_at"]
    list_display_links = ["thumbnail", "title"]
    list_editable = ["label"]
    list_filter = ["is_hidden", ("label", admin.AllValuesFieldListFilter)]
    list_per_page = 50
    search_fields = ["title_folded", "label_folded", "content_hash"]
    search_help_text = "Part of a title, a label or a content hash. Case and accents do not matter."
    readonly_fields = ["preview", "content_hash", "width_px", "height_px", "problem", "created_at"]
    actions = ["hide", "show", "delete_selected", "rebuild_index"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Image]:
        """Add to each picture whether it has an embedding."""
        embeddings = Embedding.objects.filter(image=OuterRef("content_hash"))
        if in_use := generations.active():  # another network's embeddings are of no use to a search
            embeddings = embeddings.filter(network=in_use.network)
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
        library.upload(obj, form.cleaned_data["file"])

    def delete_model(self, request: HttpRequest, obj: Image) -> None:
        """Delete one picture and its files."""
        library.remove(Image.objects.filter(pk=obj.pk))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add a picture; a full disk or the same picture from somebody else ends as a message."""
        try:
            return super().add_view(request, form_url, extra_context)
        except (Refusal, library.AlreadyThere) as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirect(request.path)

    @admin.display(description="picture")
    def thumbnail(self, image: Image) -> SafeString | str:
        """Return the thumbnail as HTML."""
        return thumbnail_of(image)

    @admin.display(description="picture")
    def preview(self, image: Image) -> SafeString | str:
        """Return the picture as HTML."""
        if image.is_pending:
            return thumbnail_of(image)
        return format_html('<img src="{}" alt="" width="{}">', image.picture_url, min(image.width_px, 512))

    @admin.display(description="embedding", boolean=True, ordering="embedded")
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

    @admin.action(description="Rebuild the index (whatever is selected)", permissions=["index"])
    def rebuild_index(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        """Start a rebuild of the index."""
        start_rebuild(self, request)
