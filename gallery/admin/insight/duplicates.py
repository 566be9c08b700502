"""The page of near-duplicates: keep one picture of a group and hide the others, or mark them as different."""

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from gallery.admin.insight import pages
from gallery.insight import duplicates
from gallery.models import Analysis, DuplicateGroup

PAGE_SIZE = 20


@require_http_methods(["GET", "HEAD", "POST"])
def view(request: HttpRequest) -> HttpResponse:
    """Show the groups, or apply what a curator chose."""
    pages.require(request, pages.VIEW)
    if request.method == "POST":
        pages.require(request, pages.CHANGE)
        _act(request)
        return redirect(request.get_full_path())
    kind = _kind(request.GET.get("kind", ""))
    page = pages.paged(request, duplicates.groups(kind), PAGE_SIZE)
    counts = duplicates.by_kind()
    context = pages.state(Analysis.Kind.DUPLICATES) | {
        "page": page,
        "groups": duplicates.shown(page.object_list),
        "kind": kind,
        "kinds": [(value, label, counts[value]) for value, label in DuplicateGroup.Kind.choices if value in counts],
        "may_change": request.user.has_perm(pages.CHANGE),
    }
    return pages.frame(request, "admin/insight/duplicates.html", _("Duplicates"), context)


def _act(request: HttpRequest) -> None:
    by, action = request.user.get_username(), request.POST.get("action", "")
    if action == "hide_kind":
        count, is_done = duplicates.hide_all_others(_kind(request.POST.get("kind", "")), by)
        if is_done:
            told = _("%(count)s pictures hidden; the best of each group is kept.") % {"count": count}
            messages.success(request, told)
        else:
            messages.info(request, _("%(count)s pictures are being hidden.") % {"count": count})
        return
    if action not in {"hide", "apart"}:
        raise BadRequest("That is no action of this page.")
    group = DuplicateGroup.objects.filter(pk=pages.number(request.POST.get("group", ""))).first()
    if group is None:
        messages.warning(request, _("That group is gone: another analysis or another curator was quicker."))
    elif action == "apart":
        duplicates.set_apart(group, by)
        messages.success(request, _("They will not be shown as duplicates again."))
    elif count := duplicates.hide_others(group, pages.identifier(request.POST.get("keep", "")), by):
        told = ngettext("%(count)s picture hidden.", "%(count)s pictures hidden.", count) % {"count": count}
        messages.success(request, told)
    else:
        messages.warning(request, _("Nothing was hidden: the picture to keep is not shown any more."))


def _kind(text: str) -> str:
    if text and text not in DuplicateGroup.Kind.values:
        raise BadRequest("That is no kind of duplicates.")
    return text
