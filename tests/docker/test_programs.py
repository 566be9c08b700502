"""What the containers run and how they are asked whether they are well: the real processes, on this machine."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simsearch.container import health, program
from simsearch.launch import kin
from tests.docker import files
from tests.docker.files import ROOT
from tests.local.starter import one_clear_line, python
from tests.stack import free_port

DEADLINE_S = 120
QUESTIONS = sorted(health.CHECKS)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a container is given, with a database that has its tables."""
    given = {
        "SIMSEARCH_DATA_DIR": str(tmp_path_factory.mktemp("container")),
        "SIMSEARCH_PORT": str(free_port()),
        "SIMSEARCH_FLOWER_PORT": str(free_port()),
        "SIMSEARCH_SEARCH_CHILDREN": "1",
        "SIMSEARCH_HTTPS": "on",
        "ALLOWED_HOSTS": ".example.org",
        "FLOWER_UNAUTHENTICATED_API": "true",  # what Flower itself warns about otherwise
    }
    Path(given["SIMSEARCH_DATA_DIR"], "run").mkdir()
    subprocess.run(entrypoint("migrate"), cwd=ROOT, env=os.environ | given, check=True, capture_output=True)
    return given


def entrypoint(name: str) -> list[str]:
    """The image's entrypoint with the service's command."""
    return [sys.executable, "-m", "simsearch.container.program", *_found(files.services()[name]["command"])]


def _found(command: list[str]) -> list[str]:
    """As the image's PATH would find it."""
    beside = files.BIN / command[0]
    return [str(beside) if beside.exists() else command[0], *command[1:]]


@contextmanager
def running(name: str, variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    log = Path(variables["SIMSEARCH_DATA_DIR"], f"{name}.log")
    with log.open("w+") as output:
        process = subprocess.Popen(
            entrypoint(name), cwd="/", env=_at_home(variables), stdout=output, stderr=subprocess.STDOUT, text=True
        )
        try:
            deadline = time.monotonic() + DEADLINE_S
            while ask(name, variables).returncode:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(1)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def _at_home(variables: dict[str, str]) -> dict[str, str]:
    return os.environ | variables | {"PYTHONPATH": str(ROOT)}


def ask(name: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The service's own health check."""
    words = files.services()[name]["healthcheck"]["test"][2:]
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=_at_home(variables), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_program_is_well_while_it_answers_and_ill_when_it_does_not(name: str, variables: dict[str, str]) -> None:
    with running(name, variables) as process:
        family = [process.pid, *kin.descendants(process.pid)]
        _send(family, signal.SIGSTOP)
        assert "not answer" in one_clear_line(ask(name, variables))
        _send(family, signal.SIGCONT)
        process.terminate()
        grace_s = int(files.services()[name]["stop_grace_period"].removesuffix("s"))
        assert process.wait(grace_s) == 0
    assert "not answer" in one_clear_line(ask(name, variables))


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def test_a_worker_is_ill_without_redis(variables: dict[str, str]) -> None:
    nowhere = variables | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    assert "Redis does not answer" in one_clear_line(ask("search", nowhere))


# --- Becoming a program ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", program.NAMES)
def test_a_program_is_supervisors_own_command(name: str) -> None:
    environ = {"SIMSEARCH_DATA_DIR": "/data", "SIMSEARCH_FLOWER_PORT": "5555", "SIMSEARCH_SEARCH_CHILDREN": "3"}
    words, given = program.command([name, "--more"], environ)
    section = files.supervisor(name)
    written = section["command"].replace("%(ENV_SIMSEARCH_BIN)s", str(files.BIN)).replace("%%", "%")
    for key, value in environ.items():
        written = written.replace(f"%(ENV_{key})s", value)
    assert words == [*shlex.split(written), "--more"]
    assert given.items() >= environ.items()
    own = {key: value for key, value in given.items() if key not in environ and key != "SIMSEARCH_BIN"}
    assert ",".join(f'{key}="{value}"' for key, value in own.items()) == section.get("environment", "")


def test_a_worker_has_a_child_for_each_gpu_of_its_container() -> None:
    words, _ = program.command(["search"], {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert words[words.index("--concurrency") + 1] == "2"


def test_any_other_command_is_run_as_it_stands(tmp_path: Path) -> None:
    run = python(tmp_path, "-m", "simsearch.container.program", "echo", "%h", "as it stands")
    assert (run.returncode, run.stdout) == (0, "%h as it stands\n")


def test_no_command_is_one_line_that_names_the_programs(tmp_path: Path) -> None:
    said = one_clear_line(python(tmp_path, "-m", "simsearch.container.program"))
    assert all(name in said for name in program.NAMES)
    assert "web" in one_clear_line(python(tmp_path, "-m", "simsearch.container.health"))


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    assert "SIMSEARCH_FLOWER_PORT" in one_clear_line(python(tmp_path, "-m", "simsearch.container.program", "flower"))


def test_a_command_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "no-such" in one_clear_line(python(tmp_path, "-m", "simsearch.container.program", "no-such"))
