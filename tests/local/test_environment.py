"""The virtual environment: made when its inputs change, never half, and not without a compiler."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from simsearch.launch import environment
from simsearch.launch.foreground import ROOT

SCRIPT = ROOT / "simsearch" / "local" / "environment.py"
MINIMAL = sys.executable if sys.prefix == sys.base_prefix else sys._base_executable  # type: ignore[attr-defined]


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A finished environment of the `run` profile, without the packages."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    version = ".".join(map(str, sys.version_info[:3]))
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    (venv / "simsearch.unfinished").touch()
    environment._finish(venv, environment.PROFILES["run"])
    return venv


def script(venv: Path, profile: str = "run", **extra: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"SIMSEARCH_VENV": str(venv)} | extra
    return subprocess.run([MINIMAL, str(SCRIPT), profile], env=variables, capture_output=True, text=True, timeout=120)


def test_a_finished_environment_takes_no_time(venv: Path) -> None:
    stamp = venv / "simsearch.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"inputs": _fingerprint_of(MINIMAL)}))
    script(venv)
    started = time.monotonic()
    run = script(venv)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert time.monotonic() - started < 1.0


def _fingerprint_of(python: str) -> str:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import environment; print(environment.fingerprint())"
    )
    return subprocess.run([python, "-B", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_run_needs_no_test_tools_and_test_needs_everything(venv: Path) -> None:
    assert environment.is_current(venv, environment.PROFILES["run"])
    assert not environment.is_current(venv, environment.PROFILES["test"])


def test_a_changed_input_makes_it_stale(venv: Path) -> None:
    stamp = venv / "simsearch.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"inputs": "of yesterday"}))
    assert not environment.is_current(venv, environment.PROFILES["run"])


def test_an_unreadable_stamp_counts_as_none(venv: Path) -> None:
    (venv / "simsearch.json").write_text('{"inputs"')
    assert not environment.is_current(venv, environment.PROFILES["run"])


def test_an_unfinished_environment_is_emptied_first(venv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment._begin(venv)
    assert not (venv / "simsearch.json").exists()
    assert (venv / "bin").exists()  # the first time there is nothing to mistrust
    environment._begin(venv)
    assert [path.name for path in venv.iterdir()] == ["simsearch.unfinished"]
    assert "not finished" in capsys.readouterr().out


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    run = script(tmp_path)
    assert run.returncode == 1
    assert "SIMSEARCH_VENV" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_requirements_are_those_of_setup_cfg() -> None:
    run, test = (set(environment.requirements(environment.PROFILES[name])) for name in ("run", "test"))
    assert {"django", "celery[redis]", "torch", "annoy", "supervisor", "psycopg[binary,pool]"} <= run
    assert {"pytest", "ruff"} <= test - run
    assert not [line for line in test if line.startswith("#")]


def test_every_requirement_has_a_pin() -> None:
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in environment._pins() if "==" in line}
    wanted = {line.split("[")[0].lower() for line in environment.requirements(environment.PROFILES["test"])}
    assert wanted | {"uv"} <= pinned


@pytest.mark.parametrize("missing", [{"PATH": "/nonexistent"}, {"CXX": "no-such-compiler -O2"}])
def test_a_missing_compiler_is_one_line_that_names_the_package(tmp_path: Path, missing: dict[str, str]) -> None:
    run = script(tmp_path / "venv", **missing)
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert "apt install g++" in run.stderr
    assert not list((tmp_path / "venv").iterdir())


def test_missing_headers_are_one_line_that_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(environment.SetupError, match="apt install python3-dev"):
        environment.check_toolchain()


def test_a_step_that_fails_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print(*range(100), sep='\\n'); print('no such index', file=sys.stderr); sys.exit(3)"
    with pytest.raises(environment.SetupError, match="exit code 3"):
        environment._call("it failed", [sys.executable, "-c", code])
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == environment.TAIL_LINES
    assert errors[-1] == "99" or "no such index" in errors


def test_annoy_is_built_for_every_processor() -> None:
    assert "native" not in environment.ANNOY_FLAGS
    assert "fast-math" not in environment.ANNOY_FLAGS
    assert "-mavx" not in environment.ANNOY_FLAGS


@pytest.mark.parametrize(
    ("cores", "avx"),
    [
        (["flags : fpu sse2 avx avx2 fma"], True),
        (["flags : fpu sse2 avx avx2 fma", "flags : fpu sse2 avx"], False),
        (["Features : fp asimd"], False),
        ([], False),
    ],
)
def test_wider_instructions_are_used_where_every_core_has_them(cores: list[str], avx: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("\n\n".join(f"processor : 0\n{flags}" for flags in cores))
    assert ("-mavx2" in environment.annoy_flags(tmp_path / "cpuinfo")) == avx
    assert environment.ANNOY_FLAGS in environment.annoy_flags(tmp_path / "nowhere")
