"""The curators' desk: gallery pictures to keep, queries and index generations to look at."""

from contextlib import suppress
from typing import Any, TypeVar

import redis
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from gallery.curation import generations, library, networks, recall
from gallery.errors import Refusal
from gallery.models import Embedding, Image, IndexGeneration, Query
from gallery.operations import workers
from gallery.queries import results, wakeup
from gallery.site import submit
from gallery.site.forms import NewImageForm


def _thumbnail(image: Image | results.Picture) -> SafeString | str:
    if isinstance(image, Image) and image.is_pending:
        return "not decoded yet"
    return format_html('<img src="{}" alt="" width="96" loading="lazy">', image.thumbnail_url)


Row = TypeVar("Row", bound=Model)


class CheckedAdmin(admin.ModelAdmin[Row]):
    """What all our lists have in common."""

    def has_index_permission(self, request: HttpRequest) -> bool:
        """Whether this account may change which index is searched: `permissions=["index"]` of an action."""
        return request.user.has_perm("gallery.change_indexgeneration")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Refuse what no page of ours sends: a selection that names no row, a NUL, which PostgreSQL takes nowhere."""
        selected, key = request.POST.getlist(ACTION_CHECKBOX_NAME), self.model._meta.pk
        try:
            for value in selected:
                key.clean(value, None)
        except ValidationError as error:
            raise BadRequest("The selection names no rows.") from error
        if any("\0" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("The address has a NUL in it.")
        return super().changelist_view(request, extra_context)


class ReadOnlyAdmin(CheckedAdmin[Any]):
    """Rows that the system writes and people read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Image)
class ImageAdmin(CheckedAdmin[Image]):
    list_display = ["thumbnail", "title", "label", "is_hidden", "has_embedding", "created_at"]
    list_display_links = ["thumbnail", "title"]
    list_editable = ["label"]
    list_filter = ["is_hidden", ("label", admin.AllValuesFieldListFilter)]
    list_per_page = 50
    search_fields = ["title", "label", "content_hash"]
    readonly_fields = ["preview", "content_hash", "width_px", "height_px", "problem", "created_at"]
    actions = ["hide", "show", "rebuild_index"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Image]:
        embeddings = Embedding.objects.filter(image=OuterRef("content_hash"))
        if in_use := generations.active():  # another network's embeddings are of no use to a search
            embeddings = embeddings.filter(network=in_use.network)
        return super().get_queryset(request).annotate(embedded=Exists(embeddings))

    def get_form(self, request: HttpRequest, obj: Image | None = None, change: bool = False, **kwargs: Any) -> Any:
        """A new picture is uploaded; an old one keeps its file."""
        return super().get_form(request, obj, change, **(kwargs if obj else kwargs | {"form": NewImageForm}))

    def get_fields(self, request: HttpRequest, obj: Image | None = None) -> Any:
        fields = ["title", "label", "is_hidden"]
        return [*fields, *self.readonly_fields] if obj else ["file", *fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Image | None = None) -> Any:
        return self.readonly_fields if obj else []

    def save_model(self, request: HttpRequest, obj: Image, form: ModelForm[Image], change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        submit.check_space(request)
        library.upload(obj, form.cleaned_data["file"])

    def delete_model(self, request: HttpRequest, obj: Image) -> None:
        library.remove(Image.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> None:
        library.remove(queryset)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """What a checked picture may still meet when it is kept: a full disk, or the same picture from another hand."""
        try:
            return super().add_view(request, form_url, extra_context)
        except (Refusal, library.AlreadyThere) as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return redirect(request.path)

    @admin.display(description="picture")
    def thumbnail(self, image: Image) -> SafeString | str:
        return _thumbnail(image)

    @admin.display(description="picture")
    def preview(self, image: Image) -> SafeString | str:
        if image.is_pending:
            return _thumbnail(image)
        return format_html('<img src="{}" alt="" width="{}">', image.picture_url, min(image.width_px, 512))

    @admin.display(description="embedding", boolean=True, ordering="embedded")
    def has_embedding(self, image: Any) -> bool:
        return bool(image.embedded)

    @admin.action(description="Hide the selected pictures from searches", permissions=["change"])
    def hide(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        self.message_user(request, f"{images.update(is_hidden=True)} hidden.", messages.SUCCESS)

    @admin.action(description="Show the selected pictures again", permissions=["change"])
    def show(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        self.message_user(request, f"{images.update(is_hidden=False)} shown.", messages.SUCCESS)

    @admin.action(description="Rebuild the index (whatever is selected)", permissions=["index"])
    def rebuild_index(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        _rebuild(self, request)


@admin.register(IndexGeneration)
class IndexGenerationAdmin(ReadOnlyAdmin):
    list_display = [
        "number",
        "is_active",
        "state",
        "network",
        "images",
        "recall",
        "live_recall",
        "created_at",
        "activated_at",
        "error",
    ]
    actions = ["rebuild_index", "roll_back"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="recall@10")
    def recall(self, generation: IndexGeneration) -> str:
        measured, target = generation.manifest.get("recall"), generation.manifest.get("recall_target")
        if measured is None or target is None:
            return "—"
        return f"{measured:.3f}" if measured >= target else f"{measured:.3f}, misses its target {target:.3f}"

    @admin.display(description="recall@10 of real searches")
    def live_recall(self, generation: IndexGeneration) -> str:
        try:
            measured = recall.measured(generation.number)
        except (redis.RedisError, OSError):
            return "Redis does not answer"
        return "—" if measured is None else f"{measured:.3f}"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Say which networks there are, and why the workers do not use the active generation, if so."""
        self._tell_networks(request)
        with suppress(redis.RedisError, OSError):
            for problem in sorted({worker.index_problem for worker in workers.alive()} - {""}):
                self.message_user(request, problem, messages.WARNING)
        return super().changelist_view(request, extra_context)

    def _tell_networks(self, request: HttpRequest) -> None:
        """How far a switch_model is, or what it kept."""
        served, count = generations.served(), Image.objects.count()
        for network, embedded in sorted(networks.embedded().items()):
            if network != served:
                told = f"Beside the network that serves: {network}, which has embedded {embedded} of {count} pictures."
                self.message_user(request, told, messages.INFO)

    @admin.action(description="Rebuild the index (whatever is selected)", permissions=["index"])
    def rebuild_index(self, request: HttpRequest, selected: QuerySet[IndexGeneration]) -> None:
        _rebuild(self, request)

    @admin.action(description="Go back to the generation before the active one", permissions=["index"])
    def roll_back(self, request: HttpRequest, selected: QuerySet[IndexGeneration]) -> None:
        try:
            self.message_user(request, f"{generations.roll_back()} is active again.", messages.SUCCESS)
        except generations.NothingToGoBackTo as error:
            self.message_user(request, str(error), messages.ERROR)


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "k", "attempts", "error_code", "generation", "total_ms", "created_at"]
    list_filter = ["state", "error_code"]
    exclude = ["matches"]
    readonly_fields = ["best"]

    @admin.display(description="matches")
    def best(self, query: Query) -> SafeString:
        shown = results.shown(query)
        return format_html_join(
            "", "<p>{} · {} {}</p>", ((m.rank, f"{m.similarity:.3f}", _thumbnail(m.image)) for m in shown)
        )

    @admin.display(description="total, ms")
    def total_ms(self, query: Query) -> float | None:
        return query.timings_ms.get("total")


for model, theirs in [(User, UserAdmin), (Group, GroupAdmin)]:
    admin.site.unregister(model)
    admin.site.register(model, type(theirs.__name__, (CheckedAdmin, theirs), {}))


def _rebuild(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> None:
    wakeup.wake_workers(wakeup.BUILD)
    model_admin.message_user(request, "A rebuild is under way; searches go on meanwhile.", messages.INFO)
