"""The Celery application; the tasks themselves are in `tasks/` and are named as text everywhere else."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch")
app.config_from_object("django.conf:settings", namespace="CELERY")
