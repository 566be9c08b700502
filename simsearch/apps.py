"""The admin site of this project."""

from django.contrib.admin.apps import AdminConfig


class CurationAdminConfig(AdminConfig):
    default_site = "gallery.site.admin_site.CurationSite"
