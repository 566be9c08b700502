"""The URL patterns of these pages, and their entries in the admin's index."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.translation import gettext_lazy as _

from gallery.admin.insight import dashboard, duplicates, evaluation, gallery_map, mislabels, pages

VIEWS = [
    ("dashboard", _("Dashboard"), dashboard.view),
    ("duplicates", _("Duplicates"), duplicates.view),
    ("mislabels", _("Wrong labels"), mislabels.view),
    ("map", _("Map"), gallery_map.view),
    ("evaluation", _("Search quality"), evaluation.view),
]


def patterns(site: AdminSite) -> list[URLPattern]:
    """Return the URL patterns, each for staff only."""
    views = [path(f"{name}/", site.admin_view(view), name=f"insight_{name}") for name, _title, view in VIEWS]
    return [
        *views,
        path("analyses/<str:kind>/progress/", site.admin_view(pages.progress), name="insight_progress"),
        path("analyses/<str:kind>/run/", site.admin_view(pages.run), name="insight_run"),
    ]


def entry(request: HttpRequest) -> dict[str, Any]:
    """Return the entry of these pages in the admin's index, in the form of an app."""
    models = [
        {
            "name": title,
            "object_name": name,
            "admin_url": reverse(f"admin:insight_{name}"),
            "perms": {"view": True},
            "view_only": True,
        }
        for name, title, _view in VIEWS
    ]
    url = reverse("admin:insight_dashboard")
    return {"name": _("Gallery overview"), "app_label": "insight", "app_url": url, "models": models}
