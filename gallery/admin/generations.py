"""Index generations in the admin site: recall, rebuild, activation of another one."""

from contextlib import suppress
from typing import Any

import redis
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gallery.admin.base import ReadOnlyAdmin
from gallery.index import embeddings, generations, recall
from gallery.models import Image, IndexGeneration
from gallery.operations import workers
from gallery.queries import wakeup


@admin.register(IndexGeneration)
class IndexGenerationAdmin(ReadOnlyAdmin):
    list_display = [
        "number",
        "is_active",
        "state",
        "embedding_model",
        "images",
        "recall",
        "live_recall",
        "made",
        "error",
    ]
    actions = ["activate"]
    change_list_template = "admin/gallery/indexgeneration/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        """Add the button and its progress."""
        rebuild = self.admin_site.admin_view(require_POST(self.rebuild))
        progress = self.admin_site.admin_view(require_safe(self.progress))
        return [
            path("rebuild/", rebuild, name="gallery_indexgeneration_rebuild"),
            path("progress/", progress, name="gallery_indexgeneration_progress"),
            *super().get_urls(),
        ]

    def rebuild(self, request: HttpRequest) -> HttpResponse:
        """Have the index rebuilt; the list shows the progress."""
        if not self.has_index_permission(request):
            raise PermissionDenied
        if generations.request_rebuild():
            newest = IndexGeneration.objects.order_by("-number").values_list("number", flat=True).first()
            request.session["last_before_rebuild"] = newest
            self.message_user(request, _("A rebuild is requested; searches go on meanwhile."), messages.INFO)
        else:
            message = _("There is no index yet. It is built once pictures are embedded.")
            self.message_user(request, message, messages.WARNING)
        wakeup.wake_workers(wakeup.REBUILD)
        return redirect("admin:gallery_indexgeneration_changelist")

    def progress(self, request: HttpRequest) -> HttpResponse:
        """Show the part of the list about a running build; the list polls it."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return render(request, "admin/gallery/indexgeneration/_build.html", self._build(request))

    def _build(self, request: HttpRequest) -> dict[str, Any]:
        last_before = request.session.get("last_before_rebuild")
        building = IndexGeneration.objects.filter(state=generations.BUILDING).first()
        waits = generations.is_rebuild_requested()
        ended = None
        if last_before is not None and not (building or waits):
            ended = IndexGeneration.objects.filter(number__gt=last_before).first()
        return {"building": building, "waits": waits, "ended": ended}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: old generations are deleted by the worker."""
        return False

    @admin.display(description="model", ordering="model_id")
    def embedding_model(self, generation: IndexGeneration) -> str:
        """Return the name of the model that embedded the pictures."""
        return generation.model_id.partition("-")[0]

    @admin.display(description="built", ordering="created_at")
    def made(self, generation: IndexGeneration) -> str:
        """Return when it was built."""
        return date_format(timezone.localtime(generation.created_at), "j M Y H:i")

    @admin.display(description="recall@10")
    def recall(self, generation: IndexGeneration) -> str:
        """Return the measured recall in words."""
        measured, target = generation.manifest.get("recall"), generation.manifest.get("recall_target")
        if measured is None or target is None:
            return "—"
        return f"{measured:.3f}" if measured >= target else f"{measured:.3f}, misses its target {target:.3f}"

    @admin.display(description="recall@10 of real searches")
    def live_recall(self, generation: IndexGeneration) -> str:
        """Return the recall of real searches in words."""
        try:
            measured = recall.measured(generation.number)
        except (redis.RedisError, OSError):
            return "Redis does not answer"
        return "—" if measured is None else f"{measured:.3f}"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show messages about the stored models, and about workers that do not use the active generation."""
        active_id, count = generations.active_model_id(), Image.objects.count()
        for model_id, embedded in sorted(embeddings.count_by_model().items()):
            if model_id != active_id:  # prepared, or kept, by switch_model
                message = f"Beside the active model: {model_id}, which has embedded {embedded} of {count} pictures."
                self.message_user(request, message, messages.INFO)
        with suppress(redis.RedisError, OSError):
            for problem in sorted({worker.index_problem for worker in workers.alive()} - {""}):
                self.message_user(request, problem, messages.WARNING)
        context = self._build(request) | {"may_rebuild": self.has_index_permission(request)}
        return super().changelist_view(request, (extra_context or {}) | context)

    @admin.action(description="Search the selected generation from now on", permissions=["index"])
    def activate(self, request: HttpRequest, selected: QuerySet[IndexGeneration]) -> None:
        """Make a generation active, an older or a newer one."""
        try:
            [chosen] = selected
            generations.choose(chosen)
        except ValueError:
            self.message_user(request, _("Select one generation."), messages.ERROR)
        except generations.NotReady as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, _("%s is active now.") % str(chosen).capitalize(), messages.SUCCESS)
