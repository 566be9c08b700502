from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"
    verbose_name = "Gallery"

    def ready(self) -> None:
        """Connect the signal handlers."""
        from gallery.curation import signals  # noqa: F401  (receivers can be connected only once the models are loaded)
