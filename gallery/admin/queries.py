"""Queries in the admin site: their state and their matches."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from gallery.admin.base import BulkAdmin, ReadOnlyAdmin
from gallery.admin.images import thumbnail_of
from gallery.models import Query
from gallery.queries import results


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin, BulkAdmin[Any]):
    list_display = ["id", "state", "k", "attempts", "error_code", "generation", "total_ms", "created_at"]
    list_filter = ["state", "error_code"]
    actions = ["delete_selected"]
    exclude = ["matches"]
    readonly_fields = ["best"]

    @admin.display(description="matches")
    def best(self, query: Query) -> SafeString:
        """Return the thumbnail of the best match as HTML."""
        shown = results.shown(query)
        return format_html_join(
            "", "<p>{} · {} {}</p>", ((m.rank, f"{m.similarity:.3f}", thumbnail_of(m.image)) for m in shown)
        )

    @admin.display(description="total, ms")
    def total_ms(self, query: Query) -> float | None:
        """Return the time from upload to answer in milliseconds."""
        return query.timings_ms.get("total")
