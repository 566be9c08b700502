"""Which admin the site has."""

from django.contrib.admin.apps import AdminConfig


class DeskConfig(AdminConfig):
    default_site = "gallery.site.admin_site.CurationSite"
