"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

handler404 = "gallery.pages.not_found"
handler500 = "gallery.pages.server_error"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("gallery.urls")),
]
