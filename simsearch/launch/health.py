"""`python -m simsearch.launch.health NAME`: a container's health check. It ends with 0, or with 1 and one line.

Each check sends the program a request. Docker itself knows whether the process exists.
"""

import http.client
import socket
import sys
from collections.abc import Callable
from functools import partial

from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from simsearch.env import env

TIMEOUT_S = 5


def web() -> None:
    """Send a request as nginx does: with a host name of the site, and X-Forwarded-Proto https."""
    names = [name.lstrip(".") for name in env.list("ALLOWED_HOSTS", default=[]) if name != "*"]
    headers = {"Host": names[0] if names else "localhost", "X-Forwarded-Proto": "https"}
    _get(env.number("SIMSEARCH_PORT", 8000), "/healthz", headers)


def flower() -> None:
    """Send Flower a request."""
    _get(env.number("SIMSEARCH_FLOWER_PORT", 5555), "/flower/healthcheck", {})


def _get(port: int, path: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"simsearch: {path} on port {port} does not answer: {error or type(error).__name__}")
    if status != http.client.OK:
        sys.exit(f"simsearch: {path} on port {port} answers {status}.")


def ping(worker: str) -> None:
    """Ping the worker over Redis: it answers when its children are ready. Only search workers report to `/readyz`."""
    from simsearch.celery import app  # a second of imports that the other checks do not need

    node = f"{worker}@{socket.gethostname()}"
    try:
        answers = app.control.inspect(destination=[node], timeout=TIMEOUT_S, limit=1).ping()
    except OperationalError as error:
        sys.exit(f"simsearch: Redis does not answer: {error}")
    if not answers:
        sys.exit(f"simsearch: {node} does not answer.")


CHECKS: dict[str, Callable[[], None]] = {
    "web": web,
    "flower": flower,
    "search": partial(ping, "search"),
    "gallery": partial(ping, "gallery"),
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"simsearch: which program? One of {', '.join(sorted(CHECKS))}.")
    try:
        CHECKS[sys.argv[1]]()
    except ImproperlyConfigured as error:
        sys.exit(f"simsearch: {error}")
