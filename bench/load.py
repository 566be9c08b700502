"""A load generator: so many searches in flight, a new one as soon as one is answered."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

BOUNDARY = "0a1b2c3d4e5f"
HEAD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'.encode()
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
TIMEOUT_S = 300
RETRY_S = 0.2  # after a refused upload


@dataclass(frozen=True)
class Round:
    """What one round gave: the latency of each search in seconds, and the time from first to last."""

    latencies: list[float]
    seconds: float
    polls: int
    refused: int

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

    def search(self, picture: bytes) -> None:
        """Upload to the product and poll as the page does. Raises RuntimeError when it fails."""
        while (accepted := self._upload("/api/queries", picture))[0] != 202:
            if accepted[0] not in (429, 503):
                raise RuntimeError(f"an upload was answered {accepted}")
            self.refused += 1
            time.sleep(RETRY_S)
        query = accepted[1]
        address = f"/api/queries/{query['id']}"
        while query["state"] != "done":
            if query["state"] == "failed":
                raise RuntimeError(f"a query failed: {query}")
            time.sleep(query["poll_after_ms"] / 1000)
            status, query = self._send("GET", address)
            self.polls += 1
            if status != 200:
                raise RuntimeError(f"a poll was answered {status}: {query}")

    def search_classic(self, picture: bytes) -> None:
        """Ask the classic design, whose response is the result. Raises RuntimeError when it fails."""
        status, result = self._upload("/search", picture)
        if status != 200:
            raise RuntimeError(f"the classic design answered {status}: {result}")

    def _upload(self, address: str, picture: bytes) -> tuple[int, Any]:
        return self._send("POST", address, HEAD + picture + f"\r\n--{BOUNDARY}--\r\n".encode(), FORM)

    def _send(
        self, method: str, address: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the JSON of the response."""
        while True:
            is_used = self._connection.sock is not None
            try:
                self._connection.request(method, address, body, headers or {})
                response = self._connection.getresponse()
                return response.status, json.loads(response.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not is_used:
                    raise
                self._connection.close()  # the server closed it while it was idle; a browser connects anew, too


def drive(port: int, search: Callable[[Visitor, bytes], object], pictures: Sequence[bytes], in_flight: int) -> Round:
    """Search for every one of the pictures, `in_flight` at a time. Raises what a search raised."""
    visitors, waiting = [Visitor(port) for _ in range(in_flight)], iter(pictures)
    latencies: list[float] = []

    def run(visitor: Visitor) -> None:
        for picture in waiting:  # all threads take from it
            began = time.perf_counter()
            search(visitor, picture)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as threads:
        list(threads.map(run, visitors))
    seconds = time.perf_counter() - began
    return Round(latencies, seconds, sum(one.polls for one in visitors), sum(one.refused for one in visitors))
