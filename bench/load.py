"""A load generator: so many searches in flight, a new one as soon as one is answered."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BOUNDARY = "0a1b2c3d4e5f"
TIMEOUT_S = 300
RETRY_S = 0.2  # after a refused upload

Search = Callable[["Visitor", bytes], object]


@dataclass
class Round:
    """What one round gave: the latency of each search in seconds, and the time from first to last."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    polls: int = 0
    refused: int = 0

    @property
    def per_s(self) -> float:
        """Searches a second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latency."""
        return float(np.percentile(self.latencies, percent)) * 1e3


class Visitor:
    """A client with one connection that is kept. It counts its `polls` and its `refused` uploads."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self.polls = self.refused = 0

    def search(self, picture: bytes) -> dict[str, Any]:
        """Upload to the product and poll as the page does. Raises RuntimeError when it fails."""
        while (accepted := self.post("/api/queries", picture))[0] != 202:
            if accepted[0] not in (429, 503):
                raise RuntimeError(f"an upload was answered {accepted}")
            self.refused += 1
            time.sleep(RETRY_S)
        return self.wait(accepted[1])

    def wait(self, query: dict[str, Any]) -> dict[str, Any]:
        """Poll until the query is done. Raises RuntimeError when it fails."""
        address = f"/api/queries/{query['id']}"
        while query["state"] != "done":
            if query["state"] == "failed":
                raise RuntimeError(f"a query failed: {query}")
            time.sleep(query["poll_after_ms"] / 1000)
            status, query = self.get(address)
            self.polls += 1
            if status != 200:
                raise RuntimeError(f"a poll was answered {status}: {query}")
        return query

    def search_classic(self, picture: bytes) -> None:
        """Ask the classic design, whose response is the result. Raises RuntimeError when it fails."""
        status, result = self.post("/search", picture)
        if status != 200:
            raise RuntimeError(f"the classic design answered {status}: {result}")

    def post(self, address: str, picture: bytes) -> tuple[int, Any]:
        """Upload once: the status and the JSON of the response."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self._send("POST", address, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    def get(self, address: str) -> tuple[int, Any]:
        """Ask once."""
        return self._send("GET", address)

    def _send(
        self, method: str, address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        is_used = self._connection.sock is not None
        try:
            return self._exchange(method, address, body, headers or {})
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not is_used:
                raise
            self._connection.close()  # the server closed it while it was idle; a browser connects anew, too
            return self._exchange(method, address, body, headers or {})

    def _exchange(self, method: str, address: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any]:
        self._connection.request(method, address, body, headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


def drive(port: int, search: Search, pictures: Iterable[bytes], in_flight: int) -> Round:
    """Search for every one of the pictures, `in_flight` at a time. Raises what a search raised."""
    result, lock, local = Round(), threading.Lock(), threading.local()
    visitors: list[Visitor] = []

    def run(picture: bytes) -> None:
        if not hasattr(local, "visitor"):
            local.visitor = Visitor(port)
            with lock:
                visitors.append(local.visitor)
        start = time.perf_counter()
        search(local.visitor, picture)
        took_s = time.perf_counter() - start
        with lock:
            result.latencies.append(took_s)

    start = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as threads:
        list(threads.map(run, pictures))
    result.seconds = time.perf_counter() - start
    result.polls = sum(visitor.polls for visitor in visitors)
    result.refused = sum(visitor.refused for visitor in visitors)
    return result
