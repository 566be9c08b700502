"""The Django project: settings, addresses and the Celery application."""

from simsearch.celery import app as celery_app

__all__ = ["celery_app"]
__version__ = "0.1.0"
