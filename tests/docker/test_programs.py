"""What the containers run and how they are asked whether they are well: the real processes, on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from simsearch.launch import health
from tests.docker import files
from tests.docker.files import ROOT
from tests.local.starter import one_clear_line, python
from tests.stack import free_port

DEADLINE_S = 120
QUESTIONS = sorted(health.CHECKS)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what a container is given, with a database that has its tables."""
    given = {
        "SIMSEARCH_DATA_DIR": str(tmp_path_factory.mktemp("container")),
        "SIMSEARCH_PORT": str(free_port()),
        "SIMSEARCH_FLOWER_PORT": str(free_port()),
        "SIMSEARCH_SEARCH_CHILDREN": "1",
        "SIMSEARCH_HTTPS": "on",
        "PATH": f"{files.BIN}:{os.environ['PATH']}",  # as in the image
        "ALLOWED_HOSTS": ".example.org",
        "FLOWER_UNAUTHENTICATED_API": "true",  # what Flower itself warns about otherwise
    }
    Path(given["SIMSEARCH_DATA_DIR"], "run").mkdir()
    subprocess.run(command("migrate", given), cwd=ROOT, env=os.environ | given, check=True, capture_output=True)
    return given


def command(name: str, variables: dict[str, str]) -> list[str]:
    """Return the service's command; Flower's port and folder are of this machine."""
    words: list[str] = files.services()[name]["command"]
    if name != "flower":
        return words
    return [
        *words,
        f"--port={variables['SIMSEARCH_FLOWER_PORT']}",
        f"--db={variables['SIMSEARCH_DATA_DIR']}/run/flower",
    ]


@contextmanager
def running(name: str, variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    log = Path(variables["SIMSEARCH_DATA_DIR"], f"{name}.log")
    with log.open("w+") as output:
        process = subprocess.Popen(
            command(name, variables),
            cwd=ROOT,
            env=os.environ | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
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


def ask(name: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Return the service's own health check."""
    words = files.services()[name]["healthcheck"]["test"][2:]
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=60
    )


@pytest.mark.drill
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_program_is_well_while_it_answers_and_ill_when_it_does_not(name: str, variables: dict[str, str]) -> None:
    with running(name, variables) as process:
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
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


def test_an_unknown_program_is_one_line_that_names_the_others(tmp_path: Path) -> None:
    assert "web" in one_clear_line(python(tmp_path, "-m", "simsearch.launch.health"))
