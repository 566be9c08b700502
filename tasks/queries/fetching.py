"""Fetch pictures by link: resolve each name once, connect to public addresses only, limit everything."""

import logging
import time
from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from uuid import UUID

import dns.exception
import dns.resolver
import httpcore
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from gallery.errors import Refusal
from gallery.models import Query
from gallery.queries import lifecycle, links, uploads
from gallery.queries.links import Address, BadLink, Link
from simsearch import __version__
from tasks.queries.slow import wait_again

logger = logging.getLogger(__name__)

TOTAL_S = 10.0  # of a picture, from the first name to the last byte, redirects included
CONNECT_S, DNS_S = 4.0, 4.0
MOST_REDIRECTS = 3
MOST_ADDRESSES = 4  # of a name that are tried
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": f"simsearch/{__version__}",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}
AWAY = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, dns.exception.DNSException, OSError)


class Fetcher:
    """Fetches pictures, each within `total_s`. `resolver`: None for the system's.

    Tests permit more `ports`, and `networks` of their own.
    """

    def __init__(
        self,
        resolver: dns.resolver.Resolver | None = None,
        ports: Collection[int] = frozenset(links.PORTS.values()),
        networks: Collection[IPv4Network | IPv6Network] = (),
        total_s: float = TOTAL_S,
    ) -> None:
        self._resolver, self._ports, self._networks, self.total_s = resolver, ports, networks, total_s

    def fetch(self, text: str, most_bytes: int) -> bytes:
        """Return what the link leads to. Raises BadLink."""
        deadline = time.monotonic() + self.total_s
        try:
            for _redirect in range(MOST_REDIRECTS + 1):
                link = links.parsed(text, self._ports)
                found = self._get(link, deadline, most_bytes)
                if isinstance(found, bytes):
                    return found
                text = found
        except AWAY as error:
            raise BadLink(links.not_public()) from error
        raise BadLink(_("That link leads from one address to the next. Open the picture and copy its own address."))

    def _get(self, link: Link, deadline: float, most_bytes: int) -> bytes | str:
        """Return the body, or the address of a redirect. Raises BadLink and what AWAY lists."""
        url = httpcore.URL(
            scheme=link.scheme.encode(), host=link.host.encode(), port=link.port, target=link.target.encode()
        )
        host = f"[{link.host}]" if ":" in link.host else link.host
        host = host if link.port == links.PORTS[link.scheme] else f"{host}:{link.port}"
        backend = _Backend(self, deadline)
        with (
            httpcore.ConnectionPool(network_backend=backend, max_connections=1) as pool,
            pool.stream("GET", url, headers=HEADERS | {"Host": host}) as response,
        ):
            headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and headers.get(b"location"):
                return link.joined(headers[b"location"])
            _check(response.status, headers, most_bytes)
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > most_bytes:
                    raise BadLink(uploads.too_large().message)
            return bytes(body)

    def addresses(self, host: str) -> list[Address]:
        """Return the addresses of a host, all of them public. Raises BadLink and DNSException."""
        try:
            found = [ip_address(host)]
        except ValueError:
            resolver = self._resolver or dns.resolver.Resolver()  # a new one, because /etc/resolv.conf may have changed
            answers = resolver.resolve_name(f"{host}.", lifetime=DNS_S).addresses()
            found = [ip_address(text) for text in sorted(answers, key=lambda text: ":" in text)]  # IPv4 first
        refused = [one for one in found if not links.is_public(one) and not any(one in own for own in self._networks)]
        if refused or not found:
            raise BadLink(links.not_public())
        return found[:MOST_ADDRESSES]


class _Backend(httpcore.NetworkBackend):
    """Connects to the checked addresses, so that a second DNS query cannot lead elsewhere."""

    def __init__(self, fetcher: Fetcher, deadline: float) -> None:
        self._fetcher, self._deadline = fetcher, deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception = httpcore.ConnectError()
        for address in self._fetcher.addresses(host):
            try:
                left_s = min(CONNECT_S, _left_s(self._deadline))
                return _Stream(self._plain.connect_tcp(str(address), port, timeout=left_s), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error


class _Stream(httpcore.NetworkStream):
    """A connection that ends at the deadline, however slowly data arrives."""

    def __init__(self, plain: httpcore.NetworkStream, deadline: float) -> None:
        self._plain, self._deadline = plain, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._plain.read(max_bytes, _left_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._plain.write(buffer, _left_s(self._deadline))

    def close(self) -> None:
        self._plain.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._plain.start_tls(ssl_context, server_hostname, _left_s(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout
    return left_s


def _check(status: int, headers: dict[bytes, str], most_bytes: int) -> None:
    """Check a response by its headers. Raises BadLink if it is not a picture."""
    if status != 200:
        raise BadLink(_("There is no picture at that address (the server answers %(status)d).") % {"status": status})
    if headers.get(b"content-type", "").lower().startswith(("text/html", "application/xhtml")):
        raise BadLink(_("That link leads to a page. Open the picture itself and copy its address."))
    if headers.get(b"content-encoding", "identity") != "identity":  # decompressed data could have any size
        raise BadLink(_("The picture is sent in a packed form, which is not read; save it instead."))
    if headers.get(b"content-length", "").isdecimal() and int(headers[b"content-length"]) > most_bytes:
        raise BadLink(uploads.too_large().message)


def fetch(fetcher: Fetcher, token: UUID, query: Query) -> None:
    """Fetch the picture of this query as if it had been uploaded, and let the query wait again; or fail it."""
    if not settings.SIMSEARCH_FETCH_LINKS:
        lifecycle.fail(token, query, "unreachable", links.off())
        return
    try:
        data = fetcher.fetch(query.link or "", settings.SIMSEARCH_MAX_UPLOAD_BYTES)
        file: UploadedFile[Any] = UploadedFile(ContentFile(data), "picture", size=len(data))
        uploads.check(file)
        uploads.store_fetched(data, query.upload_file)
    except BadLink as error:
        lifecycle.fail(token, query, "unreachable", str(error))
        logger.info("a picture by link: unreachable")
        return
    except Refusal as refusal:
        lifecycle.fail(token, query, refusal.code, refusal.message)
        logger.info("a picture by link: %s", refusal.code)
        return
    wait_again(token, query)
    logger.info("a picture by link: %d kB", len(data) // 1000)
