"""Middleware: client address, request time, body size limit, log and metrics of requests, database errors."""

import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from gallery.errors import OUTCOME
from gallery.operations import counters
from gallery.persistence import AWAY
from gallery.queries import uploads
from gallery.site.pages import database_away, refuse
from gallery.timings import Stopwatch

logger = logging.getLogger(__name__)

RECEIVED = "simsearch.received"  # a key of request.META: a Stopwatch
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
POLL = "api-1:query"
ASKING_VIEWS = {"home", "more_like", "refine", "embed", "api-1:ask"}  # views whose POST is a search

EVERYBODY = ["0.0.0.0/0", "::/0"]  # what gunicorn calls `*`
# RFC 4291, 2.5.5.2: how a socket for both kinds shows IPv4; RFC 6052, 2.1: NAT64's well-known prefix.
IPV4_IN_IPV6 = [IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]
CHUNK_BYTES = 2**16
# A client reads no answer before it has sent its body, so a refused body is read, up to a limit.
DRAIN_BYTES = 2**26


class RequestLogMiddleware:
    """Logs and counts requests by the name of their view: a path may be the secret link of a query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle one request, then log and count it."""
        start = time.perf_counter()
        response = self.get_response(request)
        took_s, status = time.perf_counter() - start, response.status_code
        # A client may invent methods and paths; the number of labels must stay small.
        method = request.method if request.method in METHODS else "other"
        is_static = request.path_info.startswith(settings.STATIC_URL)
        view = request.resolver_match.view_name if request.resolver_match else "static" if is_static else "unresolved"
        outcome = request.META.get(OUTCOME, "error" if status >= 400 else "")
        counters.HTTP_REQUESTS.labels(method, view, str(status)).inc()
        counters.HTTP_SECONDS.labels(view).observe(took_s)
        if method == "POST" and view in ASKING_VIEWS and outcome:
            counters.UPLOADS.labels(outcome).inc()
        fields = {"event": "request", "method": method, "view": view, "status": status, "ms": round(took_s * 1000, 1)}
        # Polls are counted and not logged: there would be several for each search.
        level = logging.DEBUG if view == POLL and status == 200 else logging.INFO
        text, values = "%s %s %s %s %.1f ms", (method, view, status, outcome or "ok", took_s * 1000)
        logger.log(level, text, *values, extra=fields | {"outcome": outcome})
        return response


class ClientAddressMiddleware:
    """Sets REMOTE_ADDR to the visitor's address, in one spelling.

    Behind a trusted proxy the last address of X-Forwarded-For counts, which the proxy wrote itself: the visitor may
    have invented the earlier ones. Raises ValueError at the start if settings.TRUSTED_PROXIES has an invalid network.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        names = settings.TRUSTED_PROXIES
        self._trusted = [_network(name) for name in (EVERYBODY if "*" in names else names)]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle one request."""
        said = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        for text in (request.META.get("REMOTE_ADDR", ""), said):
            address = _address(text)
            if address is None:  # a socket has no address; a header may hold something else
                break
            request.META["REMOTE_ADDR"] = str(address)
            if not any(address in network for network in self._trusted):
                break
        return self.get_response(request)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `text`; an IPv4 address inside IPv6 (mapped, or through NAT64) as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and any(address in network for network in IPV4_IN_IPV6):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _network(name: str) -> IPv4Network | IPv6Network:
    """Return the same for a network. Raises ValueError."""
    network = ip_network(name)
    if isinstance(network, IPv6Network) and any(network.subnet_of(wider) for wider in IPV4_IN_IPV6):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


class UploadLimitMiddleware:
    """Records when the request came; answers 413 by its header, before anything is kept in memory or on disk."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle one request."""
        request.META[RECEIVED] = Stopwatch()
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        """Refuse a body that is too large before anything reads it."""
        # Not sooner: the page of a refusal has a form, whose token needs the cookie that the CSRF middleware has
        # read by now. Not later: its own process_view reads the body.
        if _body_bytes(request) <= settings.SIMSEARCH_MAX_BODY_BYTES:
            return None
        drain(request)
        return refuse(request, uploads.too_large())


def drain(request: HttpRequest) -> None:
    """Read the body of a request that is refused."""
    left = min(_body_bytes(request), DRAIN_BYTES)
    while left > 0 and (chunk := request.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)


def _body_bytes(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


class DatabaseAwayMiddleware:
    """Answers 503 while the database is locked, restarted or unreachable."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle one request."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the answer to an error that the view raised."""
        return database_away(request, error) if isinstance(error, AWAY) else None
