"""Base classes of the admin's lists: checked selections, bulk actions, read-only rows."""

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from gallery.curation import bulk

Row = TypeVar("Row", bound=Model)


class CheckedAdmin(admin.ModelAdmin[Row]):
    """The base of all lists: refuses malformed requests."""

    class Media:
        css: ClassVar = {"all": ["gallery/admin.css"]}

    def has_index_permission(self, request: HttpRequest) -> bool:
        """Tell whether this account may change the active index: `permissions=["index"]` of an action."""
        return request.user.has_perm("gallery.change_indexgeneration")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Refuse requests that our pages never send: a selection without rows, and a NUL, which PostgreSQL rejects."""
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
    """Lists whose actions take any number of rows: a worker changes many, and the list shows the progress."""

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the progress of bulk actions."""
        progress = self.admin_site.admin_view(self.progress)
        name = f"{self.opts.app_label}_{self.opts.model_name}_progress"
        return [path("progress/", progress, name=name), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list with the progress of bulk actions."""
        return super().changelist_view(request, (extra_context or {}) | self._progress())

    def progress(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the list that shows running actions; the list polls it."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return render(request, "admin/gallery/_progress.html", self._progress())

    def _progress(self) -> dict[str, Any]:
        actions = list(bulk.shown(self.opts.model_name or ""))
        is_running = any(action.finished_at is None for action in actions)
        return {"bulk_actions": actions, "is_running": is_running, "opts": self.opts}

    def run(self, request: HttpRequest, action: str, rows: QuerySet[Any], value: str = "") -> None:
        """Apply an action to the rows and show a message."""
        count, is_done = bulk.change(action, rows, request.user.get_username(), value)
        told = f"{intcomma(count)} {PAST[action]}." if is_done else f"{intcomma(count)} rows are being changed."
        self.message_user(request, told, messages.SUCCESS if is_done else messages.INFO)

    @admin.action(description="Delete the selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Delete the chosen rows in the background, after a confirmation."""
        if "post" not in request.POST:
            return self._confirm(request, rows)
        if until := request.POST.get("until"):
            time = parse_datetime(until)
            if time is None:
                raise BadRequest("`until` is no time.")
            rows = rows.filter(created_at__lte=time)
        if rows.count() <= bulk.AT_ONCE:
            self.log_deletions(request, rows)
        self.run(request, "delete", rows)
        return None

    def _confirm(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation. The selection is passed on unchanged: a field for each row would be too many."""
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
            "until": timezone.now().isoformat(),  # rows that are added after the question was shown stay
        }
        return TemplateResponse(request, "admin/gallery/delete_rows.html", context)


PAST = {"delete": "deleted", "hide": "hidden", "show": "shown", "label": "labelled"}


class ReadOnlyAdmin(CheckedAdmin[Any]):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: only the system adds rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: only the system changes rows."""
        return False
