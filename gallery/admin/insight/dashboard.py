"""The dashboard: the number of searches, their latency, and pictures that the gallery lacks."""

from typing import Any

import redis
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils.dateformat import format as format_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from gallery.admin.insight import pages
from gallery.index import generations, recall
from gallery.insight import charts, figures

CACHED_S = 15  # per process


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """Show the figures."""
    pages.require(request, pages.VIEW)
    context = cache.get_or_set("gallery.insight.dashboard", _figures, CACHED_S) or _figures()
    days = context["days"]
    context = context | {
        "searches": charts.bars([(format_date(day.day, "j M"), day.searches) for day in days]),
        "may_see_queries": request.user.has_perm("gallery.view_query"),
    }
    return pages.frame(request, "admin/insight/dashboard.html", _("Dashboard"), context)


def _figures() -> dict[str, Any]:
    """Return the figures. All viewers share them, so they hold no translated text."""
    days, states, labels = figures.days(), figures.by_state(), figures.labels()
    weak, active = figures.weak().count(), generations.active()
    try:
        live_recall = recall.measured(active.number) if active else None
    except (redis.RedisError, OSError):
        live_recall = None
    return {
        "days": days,
        "latency": _latency(days),
        "states": states,
        "weak": weak,
        "weak_percent": 100 * weak / states["done"] if states["done"] else None,
        "weak_pictures": figures.weak_pictures(),
        "most_seen": figures.most_seen(),
        "failures": _shares(figures.failures()),
        "labels": _shares(labels[: figures.LABELS]),
        "other_labels": len(labels[figures.LABELS :]),
        "active": active,
        "newer": generations.newer_than(active, active.model_id) if active else 0,
        "live_recall": live_recall,
        "disk": figures.disk(),
    }


def _latency(days: list[figures.Day]) -> dict[str, Any]:
    """Return the two lines of the chart, the value at its top, and the figures of the last day with any."""
    known = [day for day in days if day.p95_ms is not None]
    most = max([day.p95_ms or 0 for day in known], default=0) or 1
    return {
        "p50": charts.line([day.p50_ms for day in days], most),
        "p95": charts.line([day.p95_ms for day in days], most),
        "most": most,
        "latest": known[-1] if known else None,
    }


def _shares(counts: list[tuple[str, int]]) -> list[tuple[str, int, float]]:
    """Return each name and count with the length of its bar, of 100 for the longest."""
    most = max([count for _name, count in counts], default=0) or 1
    return [(name, count, round(100 * count / most, 1)) for name, count in counts]
