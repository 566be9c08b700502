"""Queries in the admin site: the picture of each, its best match, and the result that the visitor saw."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from gallery.admin.base import BulkAdmin, ReadOnlyAdmin
from gallery.admin.filters import ValuesFilter
from gallery.admin.images import thumbnail_of
from gallery.models import Query
from gallery.results import matches, refinement

PICTURE = '<img src="{}" alt="{}" height="96" loading="lazy">'


@admin.register(Query)
class QueryAdmin(ReadOnlyAdmin, BulkAdmin[Any]):
    list_display = ["picture", "best_match", "state", "reason", "total_ms", "created_at"]
    list_select_related = ["like"]
    list_filter = ["state", ("created_at", admin.DateFieldListFilter), ("error_code", ValuesFilter)]
    list_per_page = 40
    actions = ["delete_selected"]
    exclude = ["matches", "has_picture", "like", "client", "claim"]
    readonly_fields = ["seen"]

    def get_fields(self, request: HttpRequest, obj: Query | None = None) -> Any:
        """Show first what the visitor saw."""
        fields = [name for name in super().get_fields(request, obj) if name not in {"seen", *self.exclude}]
        return ["seen", *fields]

    @admin.display(description="picture")
    def picture(self, query: Query) -> SafeString:
        """Return the picture that was searched with as HTML."""
        name = _("The picture of the search of %s") % f"{query.created_at:%Y-%m-%d %H:%M:%S}"
        url = query.picture_url
        return format_html(PICTURE, url, name) if url else format_html("{}", _("no longer here"))

    @admin.display(description="best match")
    def best_match(self, query: Query) -> SafeString | str:
        """Return the best match as HTML."""
        shown = matches.shown(query)[:1]
        match = '<a href="{}">{}</a> {} {}'
        return (
            format_html_join(
                "",
                match,
                ((m.image.get_absolute_url(), thumbnail_of(m.image), f"{m.similarity:.2f}", m.words) for m in shown),
            )
            or "—"
        )

    @admin.display(description="error", empty_value="")
    def reason(self, query: Query) -> str:
        """Return why it failed."""
        return query.error

    @admin.display(description="result as the visitor saw it")
    def seen(self, query: Query) -> SafeString:
        """Return the pictures that were searched with and all matches as HTML."""
        match = '<li><a href="{}">{}</a>{} · {} {}</li>'
        shown = matches.shown(query)
        listed = format_html_join(
            "",
            match,
            (
                (m.image.get_absolute_url(), thumbnail_of(m.image), m.rank, f"{m.similarity:.3f}", m.words)
                for m in shown
            ),
        )
        page = '<div class="asked">{}</div><p><a href="{}">{}</a></p><ol class="seen">{}</ol>'
        return format_html(page, self._asked(query), query.get_absolute_url(), _("Open the page of the result"), listed)

    def _asked(self, query: Query) -> SafeString:
        """Return the pictures of the query as HTML; where there are several, each with its sign."""
        parts = refinement.shown(query)
        if not parts:
            return self.picture(query)
        figures = []
        for part in parts:
            name = str(part.image) if part.image else _("Uploaded picture")
            picture = format_html(PICTURE, part.url, name) if part.url else _("no longer here")
            figures.append((picture, _("less of this") if part.is_negative else _("more of this")))
        return format_html_join("", "<figure>{}<figcaption>{}</figcaption></figure>", figures)

    @admin.display(description="total, ms", empty_value="")
    def total_ms(self, query: Query) -> float | None:
        """Return the time from upload to answer in milliseconds."""
        return query.timings_ms.get("total")
