"""The admin page of the map of the gallery: its age, who can see it, a button to draw it again."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from gallery.admin.insight import pages
from gallery.models import Analysis, MapPoint


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """Show the age of the map and who can see it."""
    pages.require(request, pages.VIEW)
    context = pages.state(Analysis.Kind.MAP) | {
        "pictures": MapPoint.objects.filter(image__is_hidden=False).count(),
        "is_public": settings.SIMSEARCH_PUBLIC_MAP,
        "may_change": request.user.has_perm(pages.CHANGE),
    }
    return pages.frame(request, "admin/insight/map.html", _("Map"), context)
