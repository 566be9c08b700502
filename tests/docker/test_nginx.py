"""The nginx of `compose.yaml`: its template with the very variables that the container is given."""

import re
import shutil
import subprocess
from pathlib import Path

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


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
def test_nginx_takes_what_the_container_makes_of_the_template(tmp_path: Path) -> None:
    # No other container has a name here, and somebody else may be at its port.
    given = variables() | {"SIMSEARCH_NGINX_LISTEN": f"127.0.0.1:{free_port()}"}
    given |= dict.fromkeys(("SIMSEARCH_WEB_UPSTREAM", "SIMSEARCH_FLOWER_UPSTREAM"), "127.0.0.1:9")
    text = (DOCKER / "nginx.conf.template").read_text()
    for key, value in given.items():
        text = text.replace(f"${{{key}}}", value)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "default.conf").write_text(text)
    (tmp_path / "nginx.conf").write_text(IMAGE.format(place=tmp_path))
    tested = subprocess.run(
        [str(NGINX), "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
    )
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


def test_nginx_and_django_agree_on_where_the_pictures_are() -> None:
    web = files.services()["web"]["environment"]
    assert variables()["SIMSEARCH_ACCEL_PREFIX"] == web["SIMSEARCH_ACCEL_PREFIX"]


def test_nginx_lets_through_what_django_accepts(settings: Settings) -> None:
    assert int(variables()["SIMSEARCH_MAX_BODY_BYTES"]) == settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert int(variables()["SIMSEARCH_UPLOADS_PER_MINUTE"]) == settings.SIMSEARCH_UPLOADS_PER_MINUTE
