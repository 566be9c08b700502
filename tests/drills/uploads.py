"""Many uploads side by side, and what became of them."""

import threading
import time
from collections import Counter

import httpx

from tests.demo import jpegs
from tests.stack import Stack


class Uploads:
    """Counts the answers to uploads by status; `ids` are the accepted ones. `ask` may be called by many threads."""

    def __init__(self, stack: Stack, pictures: list[bytes] | None = None) -> None:
        self.stack = stack
        self.pictures = pictures or jpegs(16)
        self.statuses: Counter[int | str] = Counter()
        self.ids: list[str] = []
        self._lock = threading.Lock()

    def ask(self, turn: int) -> None:
        """Upload one picture; the server may be away."""
        try:
            response = self.stack.ask(self.pictures[turn % len(self.pictures)])
        except httpx.TransportError as error:
            self._note(type(error).__name__)
            return
        self._note(response.status_code)
        if response.status_code == 202:
            with self._lock:
                self.ids.append(response.json()["id"])

    def _note(self, status: int | str) -> None:
        with self._lock:
            self.statuses[status] += 1


def assert_all_are_answered(stack: Stack, ids: list[str], patience_s: float) -> None:
    """Check that every query gets done, with one set of matches, and that none of `ids` is missing."""
    deadline = time.monotonic() + patience_s
    while left := stack.rows("SELECT state, count(*) FROM gallery_query WHERE state <> 'done' GROUP BY state"):
        assert time.monotonic() < deadline, f"{left}\n{stack.output()}"
        time.sleep(0.2)
    kept = {str(id_).replace("-", "") for (id_,) in stack.rows("SELECT id FROM gallery_query")}
    assert {id_.replace("-", "") for id_ in ids} <= kept
    assert stack.matches() == [10] * len(kept)
