"""Flower answers under the names of the site and of the loopback, and under no other."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docker import files
from tests.stack import ROOT, free_port


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Provide the port of a Flower that runs as the containers' does."""
    port, data_dir = free_port(), tmp_path_factory.mktemp("flower")
    (data_dir / "run").mkdir()
    environment = os.environ | {
        "SIMSEARCH_DATA_DIR": str(data_dir),
        "ALLOWED_HOSTS": "search.example.org,.gallery.example",
    }
    own = files.services()["flower"]["command"]
    command = [sys.executable, *own[1:], "--address=127.0.0.1", f"--port={port}", f"--db={data_dir}/run/flower"]
    with Path(data_dir, "flower.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        while not _listens(port):
            assert process.poll() is None, Path(log.name).read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5555", 200),
        ("localhost:5555", 200),
        ("[::1]:5555", 200),
        ("search.example.org", 200),
        ("any.gallery.example:443", 200),
        ("rebound.attacker.example", 400),
        ("rebound.attacker.example:5555", 400),
        ("127.0.0.1.attacker.example", 400),
        ("localhost@attacker.example", 400),
        ("192.0.2.1:5555", 400),
    ],
)
@pytest.mark.parametrize("path", ["/flower/healthcheck", "/flower/", "/flower/metrics"])
def test_flower_answers_to_known_names_alone(flower: int, host: str, status: int, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{flower}{path}", headers={"Host": host}).status_code == status
