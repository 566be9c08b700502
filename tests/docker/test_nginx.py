"""The nginx of `compose.yaml`: its template with the very variables that the container is given."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pytest_django import Settings

from tests.docker import files
from tests.docker.files import DOCKER
from tests.stack import free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
IMAGE = """
pid {place}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    include {place}/conf.d/*.conf;
}}
"""


def variables() -> dict[str, str]:
    """What Compose makes of the service's environment when the operator has set nothing."""
    given = files.services()["nginx"]["environment"]
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in given.items()}


@dataclass
class Container:
    """nginx as the container has it, but that nobody answers at the other containers' addresses."""

    place: Path
    port: int

    def command(self, *options: str) -> list[str]:
        own = ["-e", "stderr", "-p", str(self.place), "-c", str(self.place / "nginx.conf")]
        return [str(NGINX), *own, *options]


@pytest.fixture
def container(tmp_path: Path) -> Container:
    if NGINX is None:
        pytest.skip("there is no nginx here")
    # No other container has a name here, and somebody else may be at its port.
    container = Container(tmp_path, free_port())
    given = variables() | {"SIMSEARCH_NGINX_LISTEN": f"127.0.0.1:{container.port}"}
    given |= {"SIMSEARCH_NGINX_ACCESS_LOG": str(tmp_path / "access.log")}
    given |= dict.fromkeys(("SIMSEARCH_WEB_UPSTREAM", "SIMSEARCH_FLOWER_UPSTREAM"), f"127.0.0.1:{free_port()}")
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


def test_nginx_and_django_agree_on_where_the_pictures_are() -> None:
    web = files.services()["web"]["environment"]
    assert variables()["SIMSEARCH_ACCEL_PREFIX"] == web["SIMSEARCH_ACCEL_PREFIX"]


def test_nginx_lets_through_what_django_accepts(settings: Settings) -> None:
    assert int(variables()["SIMSEARCH_MAX_BODY_BYTES"]) == settings.SIMSEARCH_MAX_BODY_BYTES
    assert int(variables()["SIMSEARCH_UPLOADS_PER_MINUTE"]) == settings.SIMSEARCH_UPLOADS_PER_MINUTE
