"""The filters of the list of gallery pictures."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from gallery.models import Image


class ValuesFilter(admin.AllValuesFieldListFilter):
    """The values of a text field; the empty one gets a name, because Django's link to it has no text."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Return the choices."""
        return (choice | {"display": choice["display"] or _("None")} for choice in super().choices(changelist))


class EmbeddingFilter(admin.SimpleListFilter):
    """Pictures that searches find, do not find yet, or never find."""

    title, parameter_name = _("embedding"), "embedding"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("yes", _("Embedded")), ("waiting", _("Not embedded yet")), ("bad", _("Cannot be embedded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> QuerySet[Image]:
        """Return the rows of the choice."""
        waiting = {"problem": "", "embedded": False}
        chosen = {"yes": Q(embedded=True), "waiting": Q(**waiting), "bad": ~Q(problem="")}.get(self.value() or "")
        return queryset.filter(chosen) if chosen else queryset


class DuplicatesFilter(admin.SimpleListFilter):
    """Pictures that have near-duplicates, as the last analysis found them."""

    title, parameter_name = _("duplicates"), "duplicates"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("yes", _("Has duplicates")), ("no", _("Has none"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> QuerySet[Image]:
        """Return the rows of the choice."""
        if self.value() in {"yes", "no"}:
            return queryset.filter(duplicate__isnull=self.value() == "no")
        return queryset
