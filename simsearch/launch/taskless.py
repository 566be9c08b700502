"""The Celery application without the tasks, for Flower and for health checks: they know them by name."""

import os

from celery import Celery

from simsearch.broker import Amqp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch", amqp=Amqp)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ()
