"""`python -m simsearch.launch.flower OPTIONS`: Flower, which answers under the names of the site alone.

Another site can resolve a name of its own to 127.0.0.1 (DNS rebinding). The browser then sends that name as Host, and
Flower, which has no password there, would show it everything.
"""

import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port, validate_host
from flower import command
from tornado.httputil import HTTPServerRequest
from tornado.web import ErrorHandler

from simsearch.celery import app

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


class KnownHosts(command.Flower):  # type: ignore[misc]
    """Flower that answers 400 for host names other than those of the site and of the loopback."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return the handler of a request, if it may have one."""
        name, _ = split_domain_port(request.host)
        if not validate_host(name, [*settings.ALLOWED_HOSTS, *LOOPBACK]):
            return self.get_handler_delegate(request, ErrorHandler, {"status_code": 400})
        return super().find_handler(request, **kwargs)


if __name__ == "__main__":
    command.Flower = KnownHosts
    try:
        app.start(["--quiet", "flower", *sys.argv[1:]])
    except ImproperlyConfigured as error:
        sys.exit(f"simsearch: {error}")
