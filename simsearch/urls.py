"""The URLs of the project."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

handler404 = "gallery.site.pages.not_found"
handler500 = "gallery.site.pages.server_error"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("gallery.urls")),
    path("language/", set_language, name="set_language"),
]
