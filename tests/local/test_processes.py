"""`docker/supervisord.conf` under a real supervisord."""

import json
import os
import socket
from pathlib import Path

import pytest

from simsearch.launch import gpus, preflight, processes
from tests.local.starter import left_running, python

ONLY_REDIS = """
import json, os, sys, time
from pathlib import Path
from simsearch.launch import preflight, processes

data_dir = Path(os.environ["SIMSEARCH_DATA_DIR"])
run_dir = preflight.socket_directory(data_dir)
known = processes.variables(os.environ, data_dir, run_dir, 5555)
supervisor = processes.Supervisor(data_dir, run_dir, {**os.environ, **known})
supervisor.launch()
supervisor.start_redis()
while not preflight.answers(f"unix://{run_dir}/redis.sock"):
    time.sleep(0.05)
mode = oct((run_dir / "redis.sock").stat().st_mode & 0o777)
found = {"states": supervisor.states(), "redis": mode, "run_dir": str(run_dir)}
kill_supervisord = sys.argv[1:] == ["kill"]
if kill_supervisord:
    os.kill(int((run_dir / "supervisor.pid").read_text()), 9)
supervisor.stop()
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", ["data", "my photos – ä", "a-very-long-name" * 8])
def test_every_program_is_known_and_redis_starts_and_stops(tmp_path: Path, name: str) -> None:
    run = python(tmp_path / name, "-c", ONLY_REDIS, SIMSEARCH_DEVICE="cpu")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["states"].keys() == {"redis", "search", "gallery", "web", "flower"}
    assert found["states"].pop("redis") in {"STARTING", "RUNNING"}
    assert set(found["states"].values()) == {"STOPPED"}
    assert found["redis"] == "0o700"
    assert left_running(tmp_path) == []
    assert not list(Path(found["run_dir"]).glob("*"))
    assert Path(found["run_dir"]).exists() == Path(found["run_dir"]).is_relative_to(tmp_path)
    assert "root" not in (tmp_path / name / "logs" / "supervisord.log").read_text()
    assert (tmp_path / name / "logs" / "supervisord.out").read_text() == ""


def test_nothing_is_left_when_supervisord_itself_is_killed(tmp_path: Path) -> None:
    run = python(tmp_path, "-c", ONLY_REDIS, "kill", SIMSEARCH_DEVICE="cpu")
    assert run.returncode == 0, run.stderr
    assert left_running(tmp_path) == []


def test_the_search_worker_has_a_child_per_gpu(tmp_path: Path) -> None:
    assert _variables(tmp_path, CUDA_VISIBLE_DEVICES="2, 5,GPU-1234")["SIMSEARCH_SEARCH_CHILDREN"] == "3"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_without_a_gpu_it_has_a_child_per_core(tmp_path: Path, hidden: str) -> None:
    cores = min(len(os.sched_getaffinity(0)), processes.MAX_CHILDREN)
    assert _variables(tmp_path, CUDA_VISIBLE_DEVICES=hidden)["SIMSEARCH_SEARCH_CHILDREN"] == str(cores)


def test_a_device_chosen_by_name_has_one_child_that_sees_all(tmp_path: Path) -> None:
    known = _variables(tmp_path, SIMSEARCH_DEVICE="cuda:1", CUDA_VISIBLE_DEVICES="0,1")
    assert known["SIMSEARCH_SEARCH_CHILDREN"] == "1"


def test_the_number_of_children_can_be_chosen(tmp_path: Path) -> None:
    assert _variables(tmp_path, SIMSEARCH_SEARCH_CHILDREN="7")["SIMSEARCH_SEARCH_CHILDREN"] == "7"


@pytest.mark.parametrize("number", ["two", "0", "-1"])
def test_what_is_no_number_of_processes_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(preflight.StartError, match=f"SIMSEARCH_SEARCH_CHILDREN={number} is no number of processes"):
        _variables(tmp_path, SIMSEARCH_SEARCH_CHILDREN=number)


def _variables(data_dir: Path, **environ: str) -> dict[str, str]:
    return processes.variables(environ, data_dir, data_dir / "run", 5555)


def test_children_share_the_gpus() -> None:
    found = gpus.visible({"CUDA_VISIBLE_DEVICES": "2,5"})
    assert [gpus.of_child(number, found) for number in range(3)] == ["2", "5", "2"]


def test_gpus_and_slices_of_gpus_are_counted() -> None:
    listing = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\n"
    assert gpus._listed(listing) == ["0", "1"]
    sliced = listing + "  MIG 1g.18gb     Device  0: (UUID: MIG-cc)\n  MIG 1g.18gb     Device  1: (UUID: MIG-dd)\n"
    assert gpus._listed(sliced) == ["MIG-cc", "MIG-dd"]
    assert gpus._listed("") == []


def test_a_long_path_gets_a_short_place_for_its_sockets_that_only_the_owner_can_enter(tmp_path: Path) -> None:
    assert preflight.socket_directory(Path("/srv/simsearch")) == Path("/srv/simsearch/run")
    place = preflight.socket_directory(tmp_path / ("x" * 100))
    try:
        assert len(os.fsencode(place)) <= preflight.MAX_SOCKET_DIR_BYTES
        assert place.stat().st_mode & 0o777 == 0o700
        assert place == preflight.socket_directory(tmp_path / ("x" * 100))
        place.chmod(0o755)
        with pytest.raises(preflight.StartError, match="somebody else"):
            preflight.socket_directory(tmp_path / ("x" * 100))
    finally:
        place.rmdir()


def test_a_kept_port_is_nobody_elses_and_open_to_the_program_it_is_kept_for() -> None:
    with preflight.spare_port(0) as first:
        port = first.getsockname()[1]
        with preflight.spare_port(port) as second:
            assert second.getsockname()[1] != port
        with socket.create_server(("127.0.0.1", port)):  # reuses addresses, as tornado does
            pass
