"""The admin site. Django looks for the registrations here."""

from gallery.admin import accounts, generations, images, queries

__all__ = ["accounts", "generations", "images", "queries"]
