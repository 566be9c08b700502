"""Uploads while Redis is away: they are accepted all the same, and the sweeper finds them later."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gallery.operations import redis_clients
from tests import fresh
from tests.stack import free_port

UPLOAD = (
    fresh.SITE
    + """
from gallery.models import Query

start = time.monotonic()
status = visitor.post("/api/queries", files=picture).status_code
print([status, time.monotonic() - start, Query.objects.filter(state="waiting").count()])
"""
)


def test_the_first_threads_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second client that is dropped would close the connections of its pool while another thread uses them."""
    make, made = redis_clients._client, []

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.05)
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(redis_clients, "_client", slowly)
    with ThreadPoolExecutor(8) as threads:
        url = f"redis://127.0.0.1:{free_port()}/0"
        kept = list(threads.map(lambda _: redis_clients.kept(url, 1.0), range(8)))
    assert len(made) == 1
    assert {id(client) for client in kept} == {id(made[0])}


@pytest.mark.parametrize("redis", ["closed", "silent"])
def test_an_upload_is_accepted_while_redis_is_away(redis: str, tmp_path: Path) -> None:
    fresh.migrate(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if redis == "silent" else free_port()
        output = fresh.run(UPLOAD, tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0", DEBUG="on")
    status, took_s, waiting = json.loads(output.splitlines()[-1])
    assert (status, waiting) == (202, 1)
    assert took_s < 8  # a time-out of 2 s for the throttle and one for the message
