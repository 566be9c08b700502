"""The addresses of the site, the API and the health pages."""

from django.urls import path

from gallery.api.queries import api
from gallery.api.requests import prepared
from gallery.operations import health, metrics
from gallery.site import embed, gallery_map, refine, views

urlpatterns = [
    path("api/", prepared(api.urls)),  # requested most: patterns before it are tried for each of its requests
    path("", views.home, name="home"),
    path("q/<uuid:query_id>", views.query, name="query"),
    path("q/<uuid:query_id>/picture.jpg", views.query_picture, name="query_picture"),
    path("q/<uuid:query_id>/delete", views.withdraw, name="withdraw"),
    path("q/<uuid:query_id>/refine", refine.refine, name="refine"),
    path("parts/<uuid:part_id>/picture.jpg", refine.part_picture, name="part_picture"),
    path("gallery/", views.browse, name="browse"),
    path("gallery/<uuid:image_id>", views.image, name="image"),
    path("gallery/<uuid:image_id>/picture.jpg", views.image_picture, name="image_picture"),
    path("gallery/<uuid:image_id>/preview.jpg", views.image_preview, name="image_preview"),
    path("gallery/<uuid:image_id>/original", views.image_original, name="image_original"),
    path("gallery/<uuid:image_id>/thumbnail.jpg", views.image_thumbnail, name="image_thumbnail"),
    path("gallery/<uuid:image_id>/like", views.more_like, name="more_like"),
    path("embed", embed.embed, name="embed"),
    path("embed.js", embed.script, name="embed_script"),
    path("map/", gallery_map.page, name="map"),
    path("map/points.json", gallery_map.points, name="map_points"),
    path("staff", views.staff, name="staff"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
