"""`python -m simsearch.container.health NAME`: is this container's program well? 0, or 1 with one line that says why.

Each check asks the program itself, not whether its process exists: Docker knows that without being told.
"""

import http.client
import os
import socket
import sys
from collections.abc import Callable

from kombu.exceptions import OperationalError

from simsearch.env import env

TIMEOUT_S = 5


class Ill(Exception):
    """One sentence on what is wrong."""


def web() -> None:
    # As nginx asks: by a name that the site answers to, and saying that the visitor came by https.
    names = [name.lstrip(".") for name in env.list("ALLOWED_HOSTS", default=[]) if name != "*"]
    headers = {"Host": names[0] if names else "localhost", "X-Forwarded-Proto": "https"}
    _get(int(os.environ.get("SIMSEARCH_PORT", "8000")), "/healthz", headers)


def flower() -> None:
    _get(int(os.environ["SIMSEARCH_FLOWER_PORT"]), "/flower/healthcheck", {})


def search() -> None:
    _ping("search")


def gallery() -> None:
    _ping("gallery")


def _get(port: int, path: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Ill(f"{path} on port {port} does not answer: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise Ill(f"{path} on port {port} answers {status}.")


def _ping(worker: str) -> None:
    """Ask the worker over Redis, as Celery's own `inspect ping` does: it answers when its children are warm.

    Its report to `/readyz` would not do: only search workers report.
    """
    from simsearch.launch.taskless import app  # a second of imports that the other checks need not wait for

    node = f"{worker}@{socket.gethostname()}"
    try:
        answers = app.control.inspect(destination=[node], timeout=TIMEOUT_S, limit=1).ping()
    except OperationalError as error:
        raise Ill(f"Redis does not answer: {error}") from error
    if not answers:
        raise Ill(f"{node} does not answer.")


CHECKS: dict[str, Callable[[], None]] = {check.__name__: check for check in (web, flower, search, gallery)}


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        sys.exit(f"simsearch: which program? One of {', '.join(sorted(CHECKS))}.")
    try:
        CHECKS[arguments[0]]()
    except Ill as problem:
        sys.exit(f"simsearch: {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
