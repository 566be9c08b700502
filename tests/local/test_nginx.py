"""nginx's configuration: one template for bare servers and containers, every value checked."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from simsearch.launch import nginx
from simsearch.launch.preflight import StartError
from tests.local.starter import python

TEMPLATE = "#   SIMSEARCH_A  the first\n#   SIMSEARCH_B  the second\nlisten ${SIMSEARCH_A} $host ${SIMSEARCH_B};\n"
SERVER = {"SECRET_KEY": "x" * 60, "ALLOWED_HOSTS": "search.example.org,127.0.0.1", "SIMSEARCH_ACCEL_PREFIX": "/_p/"}


def test_only_our_variables_are_replaced() -> None:
    rendered = nginx.render(TEMPLATE, {"SIMSEARCH_A": "80", "SIMSEARCH_B": "b", "host": "never", "OTHER": "never"})
    assert rendered.splitlines()[-1] == "listen 80 $host b;"


@pytest.mark.parametrize("values", [{}, {"SIMSEARCH_A": "80"}, {"SIMSEARCH_A": "80", "SIMSEARCH_B": ""}])
def test_a_missing_variable_is_named(values: dict[str, str]) -> None:
    with pytest.raises(StartError, match="SIMSEARCH_B"):
        nginx.render(TEMPLATE, values)


@pytest.mark.parametrize("value", ["80; root /", 'a"b', "a'b", "a\nb", "{", "}", "$uri", "\\"])
def test_a_value_that_would_say_more_than_itself_is_refused(value: str) -> None:
    with pytest.raises(StartError, match="SIMSEARCH_A"):
        nginx.render(TEMPLATE, {"SIMSEARCH_A": value, "SIMSEARCH_B": "b"})


def test_an_undocumented_variable_is_refused() -> None:
    with pytest.raises(StartError, match="SIMSEARCH_C"):
        nginx.render(TEMPLATE + "${SIMSEARCH_C}", {"SIMSEARCH_A": "a", "SIMSEARCH_B": "b", "SIMSEARCH_C": "c"})


@pytest.mark.parametrize("template", [nginx.SITE, nginx.MAIN])
def test_every_documented_variable_is_used(template: Path) -> None:
    text = template.read_text()
    assert set(nginx.DOCUMENTED.findall(text)) == set(nginx.PLACEHOLDER.findall(text))


def test_the_site_is_as_the_settings_say(tmp_path: Path) -> None:
    chosen = {"SIMSEARCH_PORT": "8123", "SIMSEARCH_MAX_UPLOAD_BYTES": "1000", "SIMSEARCH_NGINX_LISTEN": "8080"}
    run = python(tmp_path, "-m", "simsearch.launch.nginx", **SERVER, **chosen)
    assert run.returncode == 0, run.stderr
    assert "listen 8080 " in run.stdout
    assert "server_name search.example.org 127.0.0.1;" in run.stdout
    assert "server 127.0.0.1:8123 " in run.stdout
    assert f"client_max_body_size {1000 + 2**20};" in run.stdout
    assert f'alias "{tmp_path}/pictures/";' in run.stdout


def test_the_file_in_the_data_directory_is_enough(tmp_path: Path) -> None:
    (tmp_path / "simsearch.env").write_text(
        "".join(f"{k}={v}\n" for k, v in (SERVER | {"SIMSEARCH_PORT": "8124"}).items())
    )
    assert "server 127.0.0.1:8124 " in python(tmp_path, "-m", "simsearch.launch.nginx").stdout


@pytest.mark.parametrize("missing", ["SECRET_KEY", "SIMSEARCH_ACCEL_PREFIX"])
def test_without_what_it_needs_there_is_one_line_and_no_configuration(tmp_path: Path, missing: str) -> None:
    run = python(tmp_path, "-m", "simsearch.launch.nginx", **{k: v for k, v in SERVER.items() if k != missing})
    assert run.returncode == 1
    assert run.stdout == ""
    assert missing in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.skipif(not shutil.which("envsubst"), reason="envsubst is not installed")
def test_the_official_images_envsubst_writes_the_same(tmp_path: Path) -> None:
    names = nginx.PLACEHOLDER.findall(nginx.SITE.read_text())
    values = {name: f"/{name.lower()}/" for name in names}
    defined = " ".join(f"${{{name}}}" for name in values)
    run = subprocess.run(
        ["envsubst", defined], input=nginx.SITE.read_text(), env=os.environ | values, capture_output=True, text=True
    )
    assert run.stdout == nginx.render(nginx.SITE.read_text(), values)
    assert re.search(r"\$\{", run.stdout) is None
