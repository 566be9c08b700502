"""The Celery application; the tasks themselves are in `tasks/` and are named as text everywhere else."""

import os
from logging.config import dictConfig
from typing import Any

from celery import Celery, Task
from celery.signals import setup_logging, task_prerun
from django.conf import settings
from django.db import close_old_connections

from simsearch.broker import Amqp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch", amqp=Amqp)
app.config_from_object("django.conf:settings", namespace="CELERY")


@task_prerun.connect
def renew_connections(task: "Task[Any, Any]", **_: object) -> None:
    """Replace a connection that is old or died with its server, as before a request."""
    if not task.request.is_eager:  # called in the middle of something else, perhaps of a transaction
        close_old_connections()


@setup_logging.connect
def log_as_everybody_does(**_: object) -> None:
    """Celery has formats of its own, and takes them unless somebody is connected here."""
    dictConfig(settings.LOGGING)
