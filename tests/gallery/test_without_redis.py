"""Uploads while Redis is away: they are accepted all the same, and the sweeper finds them later."""

import json
import socket
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("redis", ["closed", "silent"])
def test_an_upload_is_accepted_while_redis_is_away(redis: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1] if redis == "silent" else free_port()
        output = fresh.run(UPLOAD, tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0", DEBUG="on")
    status, took_s, waiting = json.loads(output.splitlines()[-1])
    assert (status, waiting) == (202, 1)
    assert took_s < 8  # a time-out of 2 s for the throttle and one for the message
