"""The filters of the list of gallery pictures."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from gallery.models import Image


class ValuesFilter(admin.AllValuesFieldListFilter):
    """The values of a text field; the empty one gets a name, because Django's link to it has no text."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Return the choices."""
        return (choice | {"display": choice["display"] or _("None")} for choice in super().choices(changelist))

    def get_facet_queryset(self, changelist: ChangeList) -> dict[str, int]:
        """Return the counts by one GROUP BY: Django asks for a column for each value, and SQLite has at most 2,000."""
        rows = changelist.get_queryset(self.request, exclude_parameters=self.expected_parameters())
        counts = dict(rows.order_by().values_list(self.field_path).annotate(count=Count("pk")))
        return {f"{place}__c": counts.get(value, 0) for place, value in enumerate(self.lookup_choices)}


class EmbeddingFilter(admin.SimpleListFilter):
    """Pictures that searches find, do not find yet, or never find."""

    title, parameter_name = _("embedding"), "embedding"
    CONDITIONS: ClassVar = {"yes": Q(embedded=True), "waiting": Q(problem="", embedded=False), "bad": ~Q(problem="")}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [("yes", _("Embedded")), ("waiting", _("Not embedded yet")), ("bad", _("Cannot be embedded"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> QuerySet[Image]:
        """Return the rows of the choice."""
        chosen = self.CONDITIONS.get(self.value() or "")
        return queryset.filter(chosen) if chosen else queryset

    def get_facet_counts(self, pk_attname: str, filtered_qs: QuerySet[Any]) -> dict[str, Count]:
        """Return the counts by the conditions: Django's look for each picture among the ids of each choice."""
        conditions = [self.CONDITIONS[value] for value, _title in self.lookup_choices]
        return {f"{place}__c": Count(pk_attname, filter=condition) for place, condition in enumerate(conditions)}


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
