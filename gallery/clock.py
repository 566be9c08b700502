"""The clock of leases: the database's, which all hosts share."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone


def from_now(seconds: float) -> Any:
    """Return the moment in `seconds` from now, for an UPDATE. SQLite serves one host, so its own clock is enough."""
    now = timezone.now() if connection.vendor == "sqlite" else Now()
    return now + timedelta(seconds=seconds)


def lease_is_over() -> Q:
    """Return the condition for rows whose lease is over."""
    return Q(lease_until__lt=timezone.now() if connection.vendor == "sqlite" else Now())
