"""The Celery application; the tasks themselves are in `tasks/` and are named as text everywhere else."""

import os
from logging.config import dictConfig

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch")
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def log_as_everybody_does(**_: object) -> None:
    """Celery has formats of its own, and takes them unless somebody is connected here."""
    dictConfig(settings.LOGGING)
