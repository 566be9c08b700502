"""A load generator: so many in flight, each asking anew as soon as it is answered."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

BOUNDARY = "0a1b2c3d4e5f"
WARM_UP = 0.25  # of a round's time; answers from then on count
ANSWER_S = 120

Ask = Callable[[bytes], Any]  # sends one picture, returns when its answer is there
Asker = Callable[[], Ask]  # made once for each in flight: a connection


@dataclass
class Round:
    """What one round gave: latencies in seconds, what each `Ask` returned, and how long it counted."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    asked: int = 0  # those before and after the time that counts too

    @property
    def per_s(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies, percent)) * 1e3 if self.latencies else float("nan")


def drive(asker: Asker, pictures: list[bytes], in_flight: int, seconds: float) -> Round:
    """Keep `in_flight` requests going for that long, or until as many were answered. Raises what a request raised."""
    start = time.perf_counter()
    first, last = start + WARM_UP * seconds, start + seconds
    result, errors = Round(), []
    lock, over = threading.Lock(), threading.Event()

    def run(number: int) -> None:
        ask, turn = asker(), number
        try:
            while not over.is_set():
                sent = time.perf_counter()
                answer = ask(pictures[turn % len(pictures)])
                turn += in_flight
                with lock:
                    result.asked += 1
                    count(answer, sent)
        except BaseException as error:  # noqa: BLE001 (told by the main thread)
            errors.append(error)
            over.set()

    def count(answer: Any, sent: float) -> None:
        done = time.perf_counter()
        if done < first or over.is_set():
            return
        result.latencies.append(done - sent)
        result.answers.append(answer)
        result.seconds = done - first
        if done >= last and len(result.latencies) >= in_flight:
            over.set()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return result


# --- Over HTTP ----------------------------------------------------------------------------------------------


class Visitor:
    """A browser: one connection that is kept, uploads as a form does, polls when it is told to."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._headers = headers or {}
        self.retry_after_s: int | None = None  # what the last answer said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def search(self, picture: bytes) -> dict[str, Any]:
        """Upload and poll until it is answered. Raises RuntimeError for whatever is not an answer."""
        status, told = self.post("/api/queries", picture)
        if status != 202:
            raise RuntimeError(f"an upload was answered {status}: {told}")
        return self.wait(told)

    def wait(self, told: dict[str, Any]) -> dict[str, Any]:
        """Poll as the page does, and come again where it is told to. Raises RuntimeError when the query fails."""
        address = f"/api/queries/{told['id']}"
        while told.get("state") != "done":
            if told.get("state") == "failed":
                raise RuntimeError(f"a query failed: {told}")
            time.sleep(told["poll_after_ms"] / 1000 if "poll_after_ms" in told else self.retry_after_s or 0)
            status, told = self.get(address)
            if status != 200 and (status != 503 or self.retry_after_s is None):
                raise RuntimeError(f"a poll was answered {status}: {told}")
        return told

    def post(self, address: str, picture: bytes) -> tuple[int, dict[str, Any]]:
        """Upload once: the status and what was said."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self._send("POST", address, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    def get(self, address: str) -> tuple[int, dict[str, Any]]:
        """Look once."""
        return self._send("GET", address)

    def _send(
        self, method: str, address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        is_used = self._connection.sock is not None
        all_headers = {**self._headers, **(headers or {})}
        try:
            return self._exchange(method, address, body, all_headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not is_used:
                raise
            self._connection.close()  # the server let go of it while it was idle; a browser connects anew, too
            return self._exchange(method, address, body, all_headers)

    def _exchange(
        self, method: str, address: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        self._connection.request(method, address, body, headers)
        response = self._connection.getresponse()
        retry_after = response.headers["Retry-After"]
        self.retry_after_s = None if retry_after is None else int(retry_after)
        return response.status, json.loads(response.read())
