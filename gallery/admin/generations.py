"""Index generations in the admin site: their recall, rebuild, roll back."""

from contextlib import suppress
from typing import Any

import redis
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from gallery.admin.base import ReadOnlyAdmin
from gallery.curation import generations, networks, recall
from gallery.models import Image, IndexGeneration
from gallery.operations import workers
from gallery.queries import wakeup


@admin.register(IndexGeneration)
class IndexGenerationAdmin(ReadOnlyAdmin):
    list_display = [
        "number",
        "is_active",
        "state",
        "model_name",
        "images",
        "recall",
        "live_recall",
        "created_at",
        "activated_at",
        "error",
    ]
    actions = ["rebuild_index", "roll_back"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: old generations are deleted by the worker."""
        return False

    @admin.display(description="model", ordering="network")
    def model_name(self, generation: IndexGeneration) -> str:
        """Return the identity of the model that embedded the pictures."""
        return generation.network

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
        """Say which networks there are, and why the workers do not use the active generation, if so."""
        self._tell_networks(request)
        with suppress(redis.RedisError, OSError):
            for problem in sorted({worker.index_problem for worker in workers.alive()} - {""}):
                self.message_user(request, problem, messages.WARNING)
        return super().changelist_view(request, extra_context)

    def _tell_networks(self, request: HttpRequest) -> None:
        """Say how far a switch_model is, or what it kept."""
        served, count = generations.served(), Image.objects.count()
        for network, embedded in sorted(networks.embedded().items()):
            if network != served:
                message = f"Beside the active model: {network}, which has embedded {embedded} of {count} pictures."
                self.message_user(request, message, messages.INFO)

    @admin.action(description="Rebuild the index (whatever is selected)", permissions=["index"])
    def rebuild_index(self, request: HttpRequest, selected: QuerySet[IndexGeneration]) -> None:
        """Start a rebuild of the index."""
        start_rebuild(self, request)

    @admin.action(description="Go back to the generation before the active one", permissions=["index"])
    def roll_back(self, request: HttpRequest, selected: QuerySet[IndexGeneration]) -> None:
        """Activate the generation before the active one."""
        try:
            self.message_user(request, f"{generations.roll_back()} is active again.", messages.SUCCESS)
        except generations.NothingToGoBackTo as error:
            self.message_user(request, str(error), messages.ERROR)


def start_rebuild(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> None:
    """Enqueue a rebuild and say so."""
    wakeup.wake_workers(wakeup.BUILD)
    model_admin.message_user(request, "A rebuild has started; searches go on.", messages.INFO)
