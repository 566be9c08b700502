"""Answers of Django's test client."""

from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import HttpResponseBase


def end(response: HttpResponseBase) -> None:
    """Close an answer and its file as a server does, but not the database: the test's transaction is in there.

    Django's client does the same for whatever it closes itself.
    """
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)
