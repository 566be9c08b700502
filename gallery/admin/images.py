"""The curators' desk: gallery pictures to keep, queries and index generations to look at."""

from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import redis
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from gallery.curation import bulk, generations, library, networks, recall
from gallery.errors import Refusal
from gallery.models import Embedding, Image, IndexGeneration, Query
from gallery.operations import workers
from gallery.queries import results, wakeup
from gallery.searchable import folded
from gallery.site import submit
from gallery.site.forms import NewImageForm


def _thumbnail(image: Image | results.Picture) -> SafeString | str:
    if isinstance(image, Image) and image.is_pending:
        return "not decoded yet"
    side = "width" if image.width_px >= image.height_px else "height"
    return format_html('<img src="{}" alt="" {}="96" loading="lazy">', image.thumbnail_url, side)


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


NAMED = 20  # rows that the page before a deletion shows


class BulkAdmin(CheckedAdmin[Row]):
    """Lists whose actions take any number of rows: a worker changes many, and the list shows how far it is."""

    def get_urls(self) -> list[URLPattern]:
        progress = self.admin_site.admin_view(self.progress)
        name = f"{self.opts.app_label}_{self.opts.model_name}_progress"
        return [path("progress/", progress, name=name), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, (extra_context or {}) | self._progress())

    def progress(self, request: HttpRequest) -> HttpResponse:
        """The part of the list that shows the actions under way; the list asks for it again and again."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return render(request, "admin/gallery/_progress.html", self._progress())

    def _progress(self) -> dict[str, Any]:
        actions = list(bulk.shown(self.opts.model_name or ""))
        is_running = any(action.finished_at is None for action in actions)
        return {"bulk_actions": actions, "is_running": is_running, "opts": self.opts}

    def run(self, request: HttpRequest, action: str, rows: QuerySet[Any]) -> None:
        """Apply an action to the rows and say so."""
        count, is_done = bulk.change(action, rows, request.user.get_username())
        told = f"{intcomma(count)} {PAST[action]}." if is_done else f"{intcomma(count)} rows are being changed."
        self.message_user(request, told, messages.SUCCESS if is_done else messages.INFO)

    @admin.action(description="Delete the selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        if "post" not in request.POST:
            return self._confirm(request, rows)
        if until := request.POST.get("until"):
            rows = rows.filter(created_at__lte=_time(until))
        if rows.count() <= bulk.AT_ONCE:
            self.log_deletions(request, rows)
        self.run(request, "delete", rows)
        return None

    def _confirm(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        """Ask once more. The selection goes through as it came: a name for each row would be too many fields."""
        count = rows.count()
        context = self.admin_site.each_context(request) | {
            "title": "Delete the selected rows",
            "opts": self.opts,
            "media": self.media,
            "count": count,
            "named": rows[:NAMED],
            "more": max(0, count - NAMED),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "until": timezone.now().isoformat(),  # rows that are added while somebody reads the question stay
        }
        return TemplateResponse(request, "admin/gallery/delete_rows.html", context)


PAST = {"delete": "deleted", "hide": "hidden", "show": "shown"}


def _time(text: str) -> datetime:
    time = parse_datetime(text)
    if time is None:
        raise BadRequest("`until` is no time.")
    return time


class ReadOnlyAdmin(CheckedAdmin[Any]):
    """Rows that the system writes and people read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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
        embeddings = Embedding.objects.filter(image=OuterRef("content_hash"))
        if in_use := generations.active():  # another network's embeddings are of no use to a search
            embeddings = embeddings.filter(network=in_use.network)
        return super().get_queryset(request).annotate(embedded=Exists(embeddings))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Image], search_term: str
    ) -> tuple[QuerySet[Image], bool]:
        return super().get_search_results(request, queryset, folded(search_term))

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
        self.run(request, "hide", images)

    @admin.action(description="Show the selected pictures again", permissions=["change"])
    def show(self, request: HttpRequest, images: QuerySet[Image]) -> None:
        self.run(request, "show", images)

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
class QueryAdmin(ReadOnlyAdmin, BulkAdmin[Any]):
    list_display = ["id", "state", "k", "attempts", "error_code", "generation", "total_ms", "created_at"]
    list_filter = ["state", "error_code"]
    actions = ["delete_selected"]
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
