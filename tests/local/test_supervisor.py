"""`docker/supervisord.conf` under a real supervisord; how many search children it has."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from simsearch.launch import gpu, preflight
from tests.local.starter import left_running, one_clear_line, python, start
from tests.ports import free_port

START = """
import json, os, socket, subprocess, sys, time
from pathlib import Path
from simsearch.launch import preflight, supervisor

data_dir = Path(os.environ["SIMSEARCH_DATA_DIR"])
run_dir = preflight.socket_directory(data_dir)
listener = preflight.listen("127.0.0.1", 0, "")
known = supervisor.variables(data_dir, run_dir, listener, 5555, own_redis=True)
"""
LAUNCH = """
programs = supervisor.Supervisor(data_dir, run_dir, {**os.environ, **known})
programs.launch(autostart=False)
"""
STOP = """
programs.stop()
print(json.dumps(found))
"""
ONLY_REDIS = """
while programs.states()["redis"] != "RUNNING":
    time.sleep(0.05)
mode = oct((run_dir / "redis.sock").stat().st_mode & 0o777)
found = {"states": programs.states(), "redis": mode, "run_dir": str(run_dir)}
"""
KILL = """
os.kill(int((run_dir / "supervisor.pid").read_text()), 9)
"""
# Without the settings that it needs it ends at once.
FAILING_WATCH = """
programs.start("simsearch:watch")
log = data_dir / "logs" / "watch.log"
while not log.exists() or "SECRET_KEY" not in log.read_text():
    time.sleep(0.05)
found = [programs.failing(), list(programs.states())]
"""
# A request while there is no gunicorn waits in the socket of the parent.
WEB_TWICE = """
control = [supervisor.BIN / "supervisorctl", "-s", f"unix://{run_dir}/supervisor.sock"]
found = []
for action in ("start", "restart"):
    if action == "restart":
        subprocess.run([*control, "stop", "simsearch:web"], check=True, stdout=subprocess.DEVNULL)
    with socket.create_connection(listener.getsockname()) as visitor:
        visitor.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
        programs.start("simsearch:web")
        found.append(visitor.recv(100).decode().split()[1])
"""


def run(script: str, data_dir: Path, **extra: str) -> Any:
    finished = python(data_dir, "-c", START + LAUNCH + script + STOP, SIMSEARCH_DEVICE="cpu", **extra)
    assert finished.returncode == 0, finished.stderr
    assert left_running(data_dir) == []
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["data", "my photos – ä", "a-very-long-name" * 8])
def test_every_program_is_known_and_redis_starts_and_stops(tmp_path: Path, name: str) -> None:
    found = run(ONLY_REDIS, tmp_path / name)
    assert found["states"].keys() == {"redis", "search", "gallery", "web", "flower"}
    assert found["states"].pop("redis") == "RUNNING"
    assert set(found["states"].values()) == {"STOPPED"}
    assert found["redis"] == "0o700"
    assert not list(Path(found["run_dir"]).glob("*"))
    assert Path(found["run_dir"]).exists() == Path(found["run_dir"]).is_relative_to(tmp_path)
    assert "root" not in (tmp_path / name / "logs" / "supervisord.log").read_text()
    assert (tmp_path / name / "logs" / "supervisord.out").read_text() == ""


def test_a_failing_watch_keeps_no_site_from_starting(tmp_path: Path) -> None:
    failing, needed = run(FAILING_WATCH, tmp_path, SIMSEARCH_WATCH=str(tmp_path))
    assert failing == []
    assert set(needed) == {"redis", "search", "gallery", "web", "flower"}


@pytest.mark.drill
def test_nothing_is_left_when_supervisord_itself_is_killed(tmp_path: Path) -> None:
    run(ONLY_REDIS + KILL, tmp_path)


def test_a_request_that_comes_while_gunicorn_is_restarted_waits(tmp_path: Path) -> None:
    site = {"SECRET_KEY": "x" * 60, "ALLOWED_HOSTS": "localhost", "SIMSEARCH_HTTPS": "off"}
    assert run(WEB_TWICE, tmp_path, **site) == ["200", "200"]


# --- GPU selection --------------------------------------------------------------------------------------------


def test_the_search_worker_has_a_child_per_gpu() -> None:
    assert gpu.search_children({"CUDA_VISIBLE_DEVICES": "2, 5,GPU-1234"}) == 3


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_without_a_gpu_it_has_a_child_per_core(hidden: str) -> None:
    cores = min(len(os.sched_getaffinity(0)), gpu.MAX_CHILDREN)
    assert gpu.search_children({"CUDA_VISIBLE_DEVICES": hidden}) == cores


def test_a_device_chosen_by_name_has_one_child_that_sees_all() -> None:
    assert gpu.search_children({"SIMSEARCH_DEVICE": "cuda:1", "CUDA_VISIBLE_DEVICES": "0,1"}) == 1


@pytest.mark.parametrize(("device", "named"), [("cuda", True), ("cuda:1", True), ("cpu", False), ("auto", False)])
def test_a_gpu_can_be_chosen_by_name(device: str, named: bool) -> None:
    assert gpu.is_named({"SIMSEARCH_DEVICE": device}) is named


def test_the_number_of_children_can_be_chosen() -> None:
    assert gpu.search_children({"SIMSEARCH_SEARCH_CHILDREN": "7"}) == 7


@pytest.mark.parametrize("number", ["two", "0", "-1"])
def test_what_is_no_number_of_processes_is_refused(tmp_path: Path, number: str) -> None:
    line = one_clear_line(start(tmp_path, "--port", str(free_port()), SIMSEARCH_SEARCH_CHILDREN=number))
    assert f"SIMSEARCH_SEARCH_CHILDREN={number} is not a number of processes" in line


def test_children_share_the_gpus() -> None:
    found = gpu.visible({"CUDA_VISIBLE_DEVICES": "2,5"})
    assert [gpu.of_child(number, found) for number in range(3)] == ["2", "5", "2"]


def test_gpus_and_slices_of_gpus_are_counted() -> None:
    listing = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\n"
    assert gpu.listed(listing) == ["0", "1"]
    sliced = listing + "  MIG 1g.18gb     Device  0: (UUID: MIG-cc)\n  MIG 1g.18gb     Device  1: (UUID: MIG-dd)\n"
    assert gpu.listed(sliced) == ["MIG-cc", "MIG-dd"]
    assert gpu.listed("") == []


def test_a_long_path_gets_a_short_place_for_its_sockets_that_only_the_owner_can_enter(tmp_path: Path) -> None:
    assert preflight.socket_directory(Path("/srv/simsearch")) == Path("/srv/simsearch/run")
    place = preflight.socket_directory(tmp_path / ("x" * 100))
    try:
        assert len(os.fsencode(place)) <= preflight.MAX_SOCKET_DIR_BYTES
        assert place.stat().st_mode & 0o777 == 0o700
        assert place == preflight.socket_directory(tmp_path / ("x" * 100))
        place.chmod(0o755)
        with pytest.raises(preflight.StartError, match="another account"):
            preflight.socket_directory(tmp_path / ("x" * 100))
    finally:
        place.rmdir()


def test_a_kept_port_is_open_only_to_its_program() -> None:
    with preflight.spare_port(0) as first:
        port = first.getsockname()[1]
        with preflight.spare_port(port) as second:
            assert second.getsockname()[1] != port
        with socket.create_server(("127.0.0.1", port)):  # reuses addresses, as tornado does
            pass
