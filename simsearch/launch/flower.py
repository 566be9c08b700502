"""`python -m simsearch.launch.flower OPTIONS`: Flower, which answers under the names of the site alone.

Another site can resolve a name of its own to 127.0.0.1 (DNS rebinding). The browser then sends that name as Host, and
Flower, which has no password there, would show it everything.
"""

import atexit
import signal
import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings as site
from django.http.request import split_domain_port, validate_host
from flower.app import Flower
from flower.command import apply_env_options, apply_options, extract_settings, setup_logging, sigterm_handler
from flower.urls import settings
from tornado.httputil import HTTPServerRequest
from tornado.options import options
from tornado.web import ErrorHandler

from simsearch.celery import app

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


class KnownHosts(Flower):  # type: ignore[misc]
    """Flower that answers 400 for host names other than those of the site and of the loopback."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return the handler of a request, if it may have one."""
        name, _ = split_domain_port(request.host)
        if not validate_host(name, [*site.ALLOWED_HOSTS, *LOOPBACK]):
            return self.get_handler_delegate(request, ErrorHandler, {"status_code": 400})
        return super().find_handler(request, **kwargs)


def main(arguments: Sequence[str]) -> None:
    """Run what `celery flower` does, with our application."""
    apply_env_options()
    apply_options(sys.argv[0], arguments)
    extract_settings()
    setup_logging()
    flower = KnownHosts(capp=app, options=options, **settings)
    atexit.register(flower.stop)
    signal.signal(signal.SIGTERM, sigterm_handler)
    flower.start_http_server()
    flower.start()


if __name__ == "__main__":
    main(sys.argv[1:])
