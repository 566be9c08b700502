"""What keeps `make run` from starting is one line that says what to do: exit code 1, no traceback, nothing running."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from simsearch.launch.preflight import socket_directory
from tests.local.starter import left_running, one_clear_line, start, variables
from tests.oddities import heeding_rights
from tests.stack import ROOT, free_port


@pytest.fixture
def port() -> str:
    return str(free_port())


def test_a_port_in_use_is_named_with_another_to_try(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_clear_line(start(tmp_path, "--port", str(port)))
    assert f"Port {port} is in use" in line
    assert f"PORT={port + 1}" in line


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    assert f"PORT={port}" in one_clear_line(start(tmp_path, f"--port={port}"))


def test_an_address_of_another_machine_is_refused(tmp_path: Path, port: str) -> None:
    assert "Cannot listen on 192.0.2.1" in one_clear_line(start(tmp_path, "--host", "192.0.2.1", "--port", port))


def test_a_missing_folder_is_named(tmp_path: Path, port: str) -> None:
    line = one_clear_line(start(tmp_path / "data", "--photos", str(tmp_path / "photos"), "--port", port))
    assert f"There is no folder {tmp_path / 'photos'}" in line
    assert not (tmp_path / "data").exists()


def test_a_folder_in_a_closed_one_is_named(tmp_path: Path, port: str) -> None:
    (tmp_path / "closed" / "photos").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o000)
    command = [*heeding_rights(), sys.executable, "-m", "simsearch.launch.run", "--port", port]
    command += ["--photos", str(tmp_path / "closed" / "photos")]
    run = subprocess.run(command, cwd=ROOT, env=variables(tmp_path / "data"), capture_output=True, text=True)
    (tmp_path / "closed").chmod(0o755)
    assert "may not enter" in one_clear_line(run)


def test_a_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path, port: str) -> None:
    url = f"redis://someone:opensesame@127.0.0.1:{free_port()}/0"
    line = one_clear_line(start(tmp_path, "--port", port, REDIS_URL=url))
    assert "REDIS_URL" in line
    assert url.replace("someone:opensesame@", "") in line
    assert "opensesame" not in line


def test_what_is_no_redis_address_is_refused(tmp_path: Path, port: str) -> None:
    assert "REDIS_URL" in one_clear_line(start(tmp_path, "--port", port, REDIS_URL="localhost"))


def test_an_unknown_model_is_one_line(tmp_path: Path, port: str) -> None:
    line = one_clear_line(start(tmp_path, "--port", port, SIMSEARCH_MODEL="resnet51"))
    assert "resnet51" in line
    assert "efficientnet_lite0" in line
    assert left_running(tmp_path) == []


def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path, port: str) -> None:
    url = f"postgres://someone:opensesame@127.0.0.1:{free_port()}/gallery"
    line = one_clear_line(start(tmp_path, "--port", port, DATABASE_URL=url))
    assert "DATABASE_URL" in line
    assert "opensesame" not in line


def test_a_data_directory_in_use_is_refused(tmp_path: Path, port: str) -> None:
    with (tmp_path / "running.lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = one_clear_line(start(tmp_path, "--port", port))
    assert "already running" in line
    assert "4711" in line


def test_what_an_earlier_run_left_is_not_started_a_second_time(tmp_path: Path, port: str) -> None:
    run_dir = socket_directory(tmp_path)
    run_dir.mkdir(exist_ok=True)
    (run_dir / "redis.pid").write_text("4711\n")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(run_dir / "redis.sock"))
        left.listen()
        line = one_clear_line(start(tmp_path, "--port", port))
    assert "has not ended yet (redis)" in line
    assert "kill 4711" in line


def test_a_directory_that_cannot_be_written_is_refused(port: str) -> None:
    assert "Cannot write to /proc/simsearch" in one_clear_line(start(Path("/proc/simsearch"), "--port", port))


def test_a_directory_that_supervisor_cannot_quote_is_refused(tmp_path: Path, port: str) -> None:
    assert "SIMSEARCH_DATA_DIR" in one_clear_line(start(tmp_path / "100%", "--port", port))


def test_a_folder_without_a_picture_is_refused_and_redis_stops_again(tmp_path: Path, port: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    run = start(tmp_path / "data", "--photos", str(tmp_path / "photos"), "--port", port)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert str(tmp_path / "photos") in run.stderr.splitlines()[-1]  # before it, each file with its reason
    assert left_running(tmp_path) == []
    assert not os.path.lexists(socket_directory(tmp_path / "data") / "redis.sock")
