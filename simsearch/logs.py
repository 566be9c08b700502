"""The log: one line per event on standard error, to read (`line`) or for a collector (`json`)."""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured

LINE = {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}
JSON = {
    "()": "pythonjsonlogger.json.JsonFormatter",
    "fmt": ["levelname", "name", "message"],
    "rename_fields": {"levelname": "level", "name": "logger"},
    "timestamp": "time",
}
FORMATS = {"line": LINE, "json": JSON}


class NoPaths(logging.Filter):
    """Removes the path from Django's messages about requests: it may be the secret link of a query."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove paths and the request from a record."""
        if hasattr(record, "request") and isinstance(record.args, tuple):
            record.args = tuple("(path)" if str(arg).startswith("/") else arg for arg in record.args)
        record.__dict__.pop("request", None)
        return True


def configuration(form: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING. Raises ImproperlyConfigured for an unknown format."""
    if form not in FORMATS:
        raise ImproperlyConfigured(f"LOG_FORMAT is {form!r}; it can be {' or '.join(FORMATS)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"no_paths": {"()": NoPaths}},
        "formatters": {form: FORMATS[form]},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": form, "filters": ["no_paths"]}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["console"], "propagate": False},
            # Our own line per request also covers 4xx responses.
            "django.request": {"level": "ERROR"},
            # Celery logs three lines per message, also without work; a batch has our own line.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
        },
    }
