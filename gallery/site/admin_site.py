"""The admin site and its login, with a limit on wrong passwords."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from gallery.errors import Refusal
from gallery.queries import throttle


class LoginForm(AdminAuthenticationForm):
    refusal: Refusal | None = None

    def clean(self) -> dict[str, Any]:
        """Check the password within the limit of attempts."""
        client = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        who = (str(client), self.cleaned_data.get("username", ""))
        try:
            throttle.check_login(*who)
        except Refusal as refusal:
            self.refusal = refusal
            raise ValidationError(refusal.message) from refusal
        cleaned: dict[str, Any] = super().clean()
        throttle.forgive_login(*who)
        return cleaned


class CurationSite(AdminSite):
    site_header = site_title = "simsearch"
    index_title = "Gallery administration"
    login_form = LoginForm

    def get_urls(self) -> list[Any]:
        """Return the URL patterns of the admin, our own pages first."""
        from gallery.admin.insight import addresses  # which needs this site

        return [*addresses.patterns(self), *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """List the pages about the whole gallery before the tables."""
        from gallery.admin.insight import addresses

        tables: list[Any] = super().get_app_list(request, app_label)
        return (
            tables
            if app_label or not request.user.has_perm("gallery.view_image")
            else [addresses.entry(request), *tables]
        )

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign in; answers 429 from the sixth wrong password in a minute on."""
        response = super().login(request, extra_context)
        form = (response.context_data or {}).get("form") if isinstance(response, TemplateResponse) else None
        if isinstance(form, LoginForm) and form.refusal:
            response.status_code = form.refusal.status
            for name, value in form.refusal.headers.items():
                response[name] = value
        return response
