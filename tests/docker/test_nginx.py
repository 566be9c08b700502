"""The nginx of `compose.yaml`: its template with the very variables that the container is given."""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pytest_django import Settings

from tests.docker import files
from tests.docker.files import DOCKER
from tests.drills.disks import fill, small_disk
from tests.stack import free_port

pytestmark = pytest.mark.drill

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
IMAGE = """
pid {place}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    include {place}/conf.d/*.conf;
}}
"""


def variables() -> dict[str, str]:
    """Return what Compose makes of the service's environment when the operator has set nothing."""
    given = files.services()["nginx"]["environment"]
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in given.items()}


@dataclass
class Container:
    """nginx as the container has it, but that nobody answers at the other containers' addresses."""

    place: Path
    port: int
    web_port: int

    def command(self, *options: str) -> list[str]:
        own = ["-e", "stderr", "-p", str(self.place), "-c", str(self.place / "nginx.conf")]
        return [str(NGINX), *own, *options]


@pytest.fixture
def container(tmp_path: Path) -> Container:
    if NGINX is None:
        pytest.skip("there is no nginx here")
    # No other container has a name here, and somebody else may be at its port.
    container = Container(tmp_path, free_port(), free_port())
    given = variables() | {"SIMSEARCH_NGINX_LISTEN": f"127.0.0.1:{container.port}"}
    given |= {"SIMSEARCH_NGINX_ACCESS_LOG": str(tmp_path / "access.log")}
    given |= {"SIMSEARCH_WEB_UPSTREAM": f"127.0.0.1:{container.web_port}"}
    given |= {"SIMSEARCH_FLOWER_UPSTREAM": f"127.0.0.1:{free_port()}"}
    text = (DOCKER / "nginx.conf.template").read_text()
    for key, value in given.items():
        text = text.replace(f"${{{key}}}", value)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "default.conf").write_text(text)
    (tmp_path / "nginx.conf").write_text(IMAGE.format(place=tmp_path))
    return container


@pytest.fixture
def serving(container: Container) -> Iterator[httpx.Client]:
    with (
        subprocess.Popen(container.command("-g", "daemon off;"), stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{container.port}", transport=httpx.HTTPTransport(retries=8)) as client,
    ):
        try:
            yield client
        finally:
            process.terminate()


def test_nginx_takes_what_the_container_makes_of_the_template(container: Container) -> None:
    tested = subprocess.run(container.command("-t"), capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


@pytest.mark.parametrize(
    ("method", "path", "retry_after"),
    [
        ("GET", "/api/images", "5"),
        ("POST", "/api/queries", "5"),
        ("GET", "/api/queries/1", "5"),
        ("GET", "/", "5"),
        ("POST", "/", "5"),
        ("GET", "/q/1", "5"),
    ],
)
def test_a_site_that_is_away_is_503_and_says_when_to_come_again(
    serving: httpx.Client, method: str, path: str, retry_after: str
) -> None:
    answer = serving.request(method, path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, retry_after)
    if path.startswith("/api/"):
        assert answer.json()["error"]["code"] == "busy"
    else:
        assert "try again" in answer.text.lower()


@pytest.mark.parametrize("path", ["/", "/api/queries"])
def test_a_body_that_finds_no_room_is_507(container: Container, serving: httpx.Client, path: str) -> None:
    serving.get("/static/")  # it is up, and has made its folder
    with small_disk(container.place / "body", 1) as disk:
        fill(disk)
        answer = serving.post(path, content=bytes(2**20))
    assert answer.status_code == 507
    assert "no room" in answer.text


def test_every_limit_counts_each_client_by_itself() -> None:
    text = (DOCKER / "nginx.conf.template").read_text()
    maps = dict(re.findall(r"^map [^\n]* (\$\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    keys = re.findall(r"^limit_(?:req|conn)_zone (\S+) zone=(\w+):", text, re.MULTILINE)
    used = set(re.findall(r"^ +limit_(?:req zone=|conn )(\w+)", text, re.MULTILINE))
    assert {zone for _, zone in keys} == used
    for key, _ in keys:
        values = {line.split()[-1].rstrip(";") for line in maps[key].splitlines()}
        assert values == {'""', "$simsearch_client"}, key  # an empty key is not counted
    assert "max_conns" not in text


@contextmanager
def silent_site(port: int) -> Iterator[list[socket.socket]]:
    """Provide a gunicorn that takes every connection and never answers; the connections so far."""
    taken: list[socket.socket] = []

    def take() -> None:
        with suppress(OSError):
            while True:
                taken.append(listener.accept()[0])

    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield taken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


@pytest.mark.parametrize("path", ["/api/queries/1", "/q/1", "/"])
def test_a_client_with_many_open_requests_keeps_no_client_from_a_result(
    container: Container, serving: httpx.Client, path: str
) -> None:
    serving.get("/static/")  # it is up
    with silent_site(container.web_port) as taken, ExitStack() as stack:
        greedy = [stack.enter_context(request(container.port, path, "127.0.0.2")) for _ in range(150)]
        refused = [connection for connection in greedy if status_line(connection, wait_s=0.02)]
        assert len(refused) == 50
        assert {status_line(connection) for connection in refused} == {"429"}
        stack.enter_context(request(container.port, path, "127.0.0.3"))
        while len(taken) < 101:  # the other client's request reaches the site
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:1::1"),
        ("64:ff9b::c000:201", "64:ff9b::c000:201", "64:ff9b::c000:202"),
    ],
)
def test_nginx_knows_one_client_by_its_network(
    container: Container, serving: httpx.Client, one: str, same: str, other: str
) -> None:
    serving.get("/static/")
    with silent_site(container.web_port), ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(request(container.port, "/", forwarded=one))
        assert status_line(stack.enter_context(request(container.port, "/", forwarded=same))) == "429"
        assert not status_line(stack.enter_context(request(container.port, "/", forwarded=other)), wait_s=0.2)


def request(port: int, path: str, address: str = "127.0.0.1", forwarded: str = "127.0.0.1") -> socket.socket:
    """Return a connection on which a request was sent."""
    connection = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded}\r\n\r\n".encode())
    return connection


def status_line(connection: socket.socket, wait_s: float = 10.0) -> str:
    """Return the status that came within that time; empty while there is none. It can be read again."""
    connection.settimeout(wait_s)
    try:
        return connection.recv(12, socket.MSG_PEEK).decode().partition(" ")[2]
    except TimeoutError:
        return ""


def test_nginx_and_django_agree_on_where_the_pictures_are() -> None:
    web = files.services()["web"]["environment"]
    assert variables()["SIMSEARCH_ACCEL_PREFIX"] == web["SIMSEARCH_ACCEL_PREFIX"]


def test_nginx_lets_through_what_django_accepts(settings: Settings) -> None:
    assert int(variables()["SIMSEARCH_MAX_BODY_BYTES"]) == settings.SIMSEARCH_MAX_BODY_BYTES
    assert int(variables()["SIMSEARCH_UPLOADS_PER_MINUTE"]) == settings.SIMSEARCH_UPLOADS_PER_MINUTE
