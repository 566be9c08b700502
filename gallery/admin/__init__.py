"""The admin site. Django looks for the registrations here."""

from gallery.admin import images

__all__ = ["images"]
