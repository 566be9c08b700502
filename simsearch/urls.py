"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

handler404 = "gallery.site.pages.not_found"
handler500 = "gallery.site.pages.server_error"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("gallery.urls")),
]
