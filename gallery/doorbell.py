"""The only way from the web to the workers: "there is work". The work itself is in the database."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

SEARCH = "search"  # the queue of those who wait for an answer
ANSWER = "tasks.answer"
CURATE = "tasks.curate"
BUILD = "tasks.build"  # asked for by a person
REBUILD = "tasks.rebuild"  # only if it pays


def ring(task: str) -> None:
    """Tell the workers, once the current transaction is committed, that there is work for `task`.

    Never raises: a bell that Redis does not carry is made up for by the sweeper.
    """
    transaction.on_commit(lambda: _send(task), robust=True)


def _send(task: str) -> None:
    try:
        current_app.send_task(task, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("the doorbell for %s did not get through (%s); the sweeper will ring again", task, error)
