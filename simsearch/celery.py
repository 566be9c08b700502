"""The Celery application and its connections; the tasks are in `tasks/` and are named as text everywhere else."""

import os
from logging.config import dictConfig
from typing import Any

import kombu
from celery import Celery, Task
from celery.app.amqp import AMQP
from celery.signals import setup_logging, task_prerun
from django.conf import settings
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simsearch.settings")


class Connection(kombu.Connection):
    """A connection that tries a lost Redis again every second or two.

    kombu by itself lets two more seconds pass after each failure, up to half a minute: after an outage of minutes
    no query would be answered for as long as that.
    """

    def ensure_connection(self, *args: Any, **kwargs: Any) -> kombu.Connection:  # type: ignore[override]
        """Connect as kombu does, but try again within seconds."""
        return super().ensure_connection(*args, **{"interval_start": 1, "interval_step": 1, "interval_max": 2} | kwargs)


class Amqp(AMQP):
    """Celery's AMQP with such connections."""

    Connection = Connection


app = Celery("simsearch", amqp=Amqp)
app.config_from_object("django.conf:settings", namespace="CELERY")


@task_prerun.connect
def renew_connections(task: "Task[Any, Any]", **_: object) -> None:
    """Replace a connection that is old or died with its server, as before a request."""
    if not task.request.is_eager:  # called inside other code, perhaps inside a transaction
        close_old_connections()


@setup_logging.connect
def configure_logging(**_: object) -> None:
    """Log as the settings say. Without a receiver of this signal Celery installs its own formats."""
    dictConfig(settings.LOGGING)
