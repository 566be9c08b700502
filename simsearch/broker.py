"""How workers and beat find their way back to Redis."""

from typing import Any

import kombu
from celery.app.amqp import AMQP


class Connection(kombu.Connection):
    """A connection that looks for a Redis that went away every second or two.

    kombu by itself lets two more seconds pass after each failure, up to half a minute: after an outage of minutes
    no query would be answered for as long as that.
    """

    def ensure_connection(self, *args: Any, **kwargs: Any) -> kombu.Connection:  # type: ignore[override]
        """Connect as kombu does, but try again within seconds."""
        return super().ensure_connection(*args, **{"interval_start": 1, "interval_step": 1, "interval_max": 2} | kwargs)


class Amqp(AMQP):
    """For `Celery(amqp=…)`."""

    Connection = Connection
