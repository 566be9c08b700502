"""The page of wrong labels: one click takes the label of the neighbours, another one confirms the label.

Where neither is right, another label is typed.
"""

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from gallery import text
from gallery.admin import adding
from gallery.admin.insight import pages
from gallery.insight import mislabels
from gallery.models import Analysis, Suspect

PAGE_SIZE = 20


@require_http_methods(["GET", "HEAD", "POST"])
def view(request: HttpRequest) -> HttpResponse:
    """Show the suspicious pictures, or apply what a curator chose for one of them."""
    pages.require(request, pages.VIEW)
    if request.method == "POST":
        pages.require(request, pages.CHANGE)
        _act(request)
        return redirect(request.get_full_path())
    page = pages.paged(request, mislabels.suspects(), PAGE_SIZE)
    context = pages.state(Analysis.Kind.MISLABELS) | {
        "page": page,
        "suspects": mislabels.shown(page.object_list),
        "labels": adding.all_labels(),
        "may_change": request.user.has_perm(pages.CHANGE),
    }
    return pages.frame(request, "admin/insight/mislabels.html", _("Wrong labels"), context)


def _act(request: HttpRequest) -> None:
    action = request.POST.get("action", "")
    if action not in {"take", "set", "confirm"}:
        raise BadRequest("That is no action of this page.")
    typed = text.kept_label(request.POST.get("label", "").replace("\0", "")) if action == "set" else ""
    suspect = Suspect.objects.filter(pk=pages.number(request.POST.get("suspect", ""))).first()
    if suspect is None:
        messages.warning(request, _("That entry is gone: another analysis or another curator was quicker."))
    elif action == "confirm":
        mislabels.confirm_label(suspect, request.user.get_username())
        messages.success(request, _("The label “%(label)s” stays.") % {"label": suspect.label})
    elif action == "set" and not typed:
        messages.warning(request, _("Type the other label first."))
    elif label := mislabels.take_label(suspect, typed):
        messages.success(request, _("The label is “%(label)s” now.") % {"label": label})
    else:
        messages.warning(request, _("Nothing was changed: the picture has another label by now."))
