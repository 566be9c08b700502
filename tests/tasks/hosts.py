"""Hosts of the tests' own: a server that counts what reaches it, and a DNS resolver that says what a test wants."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset

from tasks.queries.fetching import TOTAL_S, Fetcher

LOOPBACK = [ip_network("127.0.0.0/8")]


class Counting(ThreadingHTTPServer):
    """A web server on the loopback. `pages`: path -> status, headers, body; `connections`: how many there were."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        super().__init__((host, 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Counting

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        status, headers, body = self.server.pages.get(self.path, (404, {}, b""))
        if self.path.startswith("/slow-header"):
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.path.startswith("/slow"):
            self._drip(b"")
        elif self.path.startswith("/endless"):
            self._pour()
        else:
            self.wfile.write(body)

    def _drip(self, start: bytes) -> None:
        """Send a byte, and another one, for as long as somebody reads."""
        self.wfile.write(start)
        for _ in range(600):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)

    def _pour(self) -> None:
        for _ in range(4096):
            self.wfile.write(bytes(2**16))

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has read enough
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the library)
        pass


class Names(socketserver.ThreadingUDPServer):
    """A DNS server. `records`: name -> lists of addresses, one for each question of type A; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        self.records: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _NameHandler)

    def answer(self, name: str, kind: dns.rdatatype.RdataType) -> list[str]:
        answers = self.records.get(name, [[]])
        self.asked.append(name)
        addresses = answers.pop(0) if len(answers) > 1 and kind == dns.rdatatype.A else answers[0]
        return [text for text in addresses if (":" in text) == (kind == dns.rdatatype.AAAA)]

    def resolver(self) -> dns.resolver.Resolver:
        """One that asks this server alone."""
        found = dns.resolver.Resolver(configure=False)
        found.nameservers, found.port = ["127.0.0.1"], int(self.server_address[1])
        return found


class _NameHandler(socketserver.BaseRequestHandler):
    server: Names

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        if name.startswith("silent"):
            return
        if addresses := self.server.answer(name, question.rdtype):
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", question.rdtype, *addresses))
        socket.sendto(response.to_wire(), self.client_address)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Run it in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hostile(server: Counting, names: Names) -> Fetcher:
    """Return the rules as they are, but for the port of the test's server: the address alone keeps them apart."""
    return Fetcher(names.resolver(), ports={80, 443, server.port})


def friendly(server: Counting, names: Names, total_s: float = TOTAL_S) -> Fetcher:
    """Return one that may connect to the test's server, which stands for a public one."""
    return Fetcher(names.resolver(), ports={80, 443, server.port}, networks=LOOPBACK, total_s=total_s)
