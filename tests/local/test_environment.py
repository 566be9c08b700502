"""The virtual environment: made when its inputs change, never half, and not without a compiler."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docker import files
from tests.stack import ROOT

SCRIPT = "simsearch/launch/environment.sh"
MINIMAL = sys.executable if sys.prefix == sys.base_prefix else sys._base_executable  # type: ignore[attr-defined]
INPUTS = f"cat setup.cfg constraints.txt {SCRIPT} && {MINIMAL} -VV && sh {SCRIPT} annoy-flags"
# Nothing can be downloaded, and the processor has nothing that its kind does not have.
OFFLINE = {"PIP_NO_INDEX": "1", "CPUINFO": "/nonexistent", "PYTHON": MINIMAL}


def script(venv: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | OFFLINE | {"SIMSEARCH_VENV": str(venv)} | extra
    return subprocess.run(
        ["sh", SCRIPT, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120
    )


def finish(venv: Path, profile: str) -> None:
    """Leave what a finished installation leaves, without the packages."""
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    (venv / "bin" / "python").unlink(missing_ok=True)
    (venv / "bin" / "python").symlink_to(MINIMAL)
    version = ".".join(map(str, sys.version_info[:3]))
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    inputs = subprocess.run(
        ["sh", "-c", f"{{ {INPUTS}; }} | cksum"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (venv / "simsearch.stamp").write_text(f"{inputs.stdout.strip().replace(' ', '-')} {profile}\n")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Return a finished environment of the `run` profile."""
    finish(tmp_path / "venv", "run")
    return tmp_path / "venv"


def is_current(venv: Path, profile: str = "run") -> bool:
    """Tell whether nothing is installed; without a compiler it fails otherwise."""
    return script(venv, profile, CXX="no-such-compiler").returncode == 0


def test_a_finished_environment_takes_no_time(venv: Path) -> None:
    script(venv, "run")
    started = time.monotonic()
    run = script(venv, "run")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert time.monotonic() - started < 1.0


def test_run_needs_no_test_tools_and_test_needs_everything(venv: Path) -> None:
    assert is_current(venv)
    assert not is_current(venv, "test")
    finish(venv, "test")
    assert is_current(venv)


def test_a_changed_input_makes_it_stale(venv: Path) -> None:
    assert is_current(venv)
    (venv / "simsearch.stamp").write_text("12345-67 run\n")
    assert not is_current(venv)


def test_an_unreadable_stamp_counts_as_none(venv: Path) -> None:
    (venv / "simsearch.stamp").write_text("")
    assert not is_current(venv)


def test_an_unfinished_environment_is_emptied_first_and_a_failed_step_shows_its_last_lines(venv: Path) -> None:
    (venv / "simsearch.unfinished").touch()
    (venv / "simsearch.stamp").unlink()
    (venv / "half-installed").touch()
    run = script(venv, "run")
    assert run.returncode == 1
    assert "not finished" in run.stdout
    assert not (venv / "half-installed").exists()
    assert (venv / "simsearch.unfinished").exists()
    assert not (venv / "simsearch.stamp").exists()
    assert "ERROR: " in run.stderr
    assert run.stderr.splitlines()[-1].startswith("simsearch: pip could not install the packages (exit code 1)")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    run = script(tmp_path, "run")
    assert run.returncode == 1
    assert "SIMSEARCH_VENV" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_every_requirement_of_setup_cfg_is_found_and_has_a_pin(tmp_path: Path) -> None:
    run, test = (
        set(script(tmp_path, "requirements", *extras.split()).stdout.split("\n")[:-1])
        for extras in ("flower local postgres worker", "--all")
    )
    assert {"django", "celery[redis]", "torch", "annoy", "supervisor", "psycopg[binary,pool]"} <= run
    assert run < test
    assert {"pytest", "ruff", "pymilvus", "django-storages[s3]"} <= test - run
    assert not [line for line in test if line.startswith("#") or not line]
    pins = (ROOT / "constraints.txt").read_text().split("\n")
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins if "==" in line}
    assert {line.split(";")[0].split("[")[0].lower() for line in test} | {"uv"} <= pinned


@pytest.mark.parametrize("missing", [{"PATH": "/nothing"}, {"CXX": "no-such-compiler -O2"}])
def test_a_missing_compiler_is_one_line_that_names_the_package(tmp_path: Path, missing: dict[str, str]) -> None:
    if "PATH" in missing:  # with everything that the script itself needs
        missing["PATH"] = str(tools(tmp_path / "bin"))
    run = script(tmp_path / "venv", "run", **missing)
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert "apt install g++" in run.stderr
    assert not list((tmp_path / "venv").iterdir())


def tools(folder: Path) -> Path:
    """Return the commands of a system without a compiler."""
    folder.mkdir()
    for name in ("sh", "dirname", "cat", "cksum", "tr", "grep", "mkdir", "flock"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True).stdout
        (folder / name).symlink_to(found.strip())
    return folder


def test_missing_headers_are_one_line_that_names_the_package(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase $2 in *Python.h*) exit 1 ;; esac\nexec {MINIMAL} "$@"\n')
    python.chmod(0o755)
    run = script(tmp_path / "venv", "run", PYTHON=str(python))
    assert len(run.stderr.splitlines()) == 1
    assert "apt install python3-dev" in run.stderr


def test_an_old_python_is_one_line(tmp_path: Path) -> None:
    run = script(tmp_path / "venv", "run", PYTHON="/bin/false", PATH=str(tools(tmp_path / "bin")))
    assert (run.returncode, len(run.stderr.splitlines())) == (1, 1)
    assert "Python 3.11 or newer is needed" in run.stderr


def test_annoy_is_built_for_every_processor(tmp_path: Path) -> None:
    flags = script(tmp_path, "annoy-flags").stdout
    assert "-O3" in flags
    assert not [word for word in ("native", "fast-math", "-mavx") if word in flags]


@pytest.mark.parametrize(
    ("cores", "avx"),
    [
        (["flags : fpu sse2 avx avx2 fma"], True),
        (["flags : fpu sse2 avx avx2 fma", "flags : fpu sse2 avx"], False),
        (["Features : fp asimd"], False),
        ([], False),
    ],
)
def test_wider_instructions_are_used_where_every_core_has_them(
    cores: list[str], avx: bool, venv: Path, tmp_path: Path
) -> None:
    """An environment without them is current where no core has them, and stale where all have."""
    (tmp_path / "cpuinfo").write_text("\n\n".join(f"processor : 0\n{flags}" for flags in cores))
    run = script(venv, "run", CXX="no-such-compiler", CPUINFO=str(tmp_path / "cpuinfo"))
    assert run.returncode == avx


def test_the_linter_has_nothing_to_say() -> None:
    checked = files.tool("shellcheck", str(ROOT / SCRIPT))
    assert (checked.returncode, checked.stdout) == (0, "")
