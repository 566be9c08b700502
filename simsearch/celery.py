"""The Celery application; the tasks themselves are in `tasks/` and are named as text everywhere else."""

import os
from typing import Any

from celery import Celery, Task
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")

app = Celery("simsearch")
app.config_from_object("django.conf:settings", namespace="CELERY")


@task_prerun.connect
def renew_connections(task: "Task[Any, Any]", **_: object) -> None:
    """As before a request: a connection that is old, or died with its server, is replaced."""
    if not task.request.is_eager:  # called in the middle of something else, perhaps of a transaction
        close_old_connections()
