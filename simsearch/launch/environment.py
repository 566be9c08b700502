"""Make the virtual environment: `python3 simsearch/launch/environment.py run|test`.

Standard library only, and run as a script by whatever `python3` the machine has: nothing is installed yet. A second
call whose inputs have not changed reads three small files and is done.
"""

from __future__ import annotations

import configparser
import fcntl
import glob
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OLDEST_PYTHON = (3, 11)
PROFILES = {
    "run": ["flower", "local", "postgres", "worker"],
    "test": ["dev", "flower", "local", "postgres", "worker"],
}
# Annoy's own flags are for the very processor that compiles it (-march=native) and for inexact arithmetic. These run
# on every processor of its kind: the rest of Annoy's defaults (without the -D it builds its trees in one thread), and
# leave to add up numbers in any order, without which the compiler takes them one by one (1.5 times as slow).
ANNOY_FLAGS = (
    "-O3,-std=c++14,-fpermissive,-D_CRT_SECURE_NO_WARNINGS,-DANNOYLIB_MULTITHREADED_BUILD,"
    "-fassociative-math,-fno-signed-zeros,-fno-trapping-math"
)
AVX_FLAGS = {"avx2": "-mavx2", "fma": "-mfma"}
TORCH_PROBE_S = 5.0
TAIL_LINES = 15


class SetupError(Exception):
    """One clear sentence on why the environment cannot be made."""


def main(argv: list[str]) -> int:
    """Make the environment for a profile of `PROFILES`; 0 when it stands, 1 when not."""
    try:
        _take_a_new_enough_python(argv)
        make(Path(os.environ.get("SIMSEARCH_VENV") or ROOT / ".venv").absolute(), PROFILES[argv[0]])
    except SetupError as refusal:
        print(f"simsearch: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsimsearch: stopped; the next call starts the installation again.", file=sys.stderr)
        return 1
    return 0


def make(venv: Path, extras: list[str]) -> None:
    """Bring `venv` to what `setup.cfg` and the pins ask for; nothing to do when it is there already."""
    if is_current(venv, extras):
        return
    venv.mkdir(parents=True, exist_ok=True)
    lock = os.open(venv, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` at the same time: the second one waits
        if not is_current(venv, extras):
            _install(venv, extras)
    finally:
        os.close(lock)


# --- What has been installed --------------------------------------------------------------------------------


def fingerprint() -> str:
    """Changes with anything that the environment is made from."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix} {annoy_flags()}".encode())
    for path in (ROOT / "setup.cfg", ROOT / "constraints.txt", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(venv: Path, extras: list[str]) -> bool:
    """Whether `venv` was finished from today's inputs and has at least these extras."""
    stamp = _stamp(venv)
    is_alive = (venv / "bin" / "python").exists()
    return is_alive and stamp["inputs"] == fingerprint() and set(extras) <= set(stamp["extras"])


def _stamp(venv: Path) -> dict[str, Any]:
    """From what `venv` was finished last, and with which extras."""
    try:
        return dict(json.loads((venv / "simsearch.json").read_text()))
    except (OSError, ValueError):
        return {"inputs": "", "extras": []}


def _begin(venv: Path) -> None:
    """Mark `venv` as unfinished; one that was left unfinished is emptied, for its packages may be half there."""
    marker = venv / "simsearch.unfinished"
    ours = marker.exists() or (venv / "simsearch.json").exists()
    if not ours and any(venv.iterdir()) and not _is_of_this_python(venv):
        raise SetupError(f"{venv} is not empty and no environment of this Python; remove it or set SIMSEARCH_VENV.")
    unfinished = marker.exists()
    marker.touch()
    (venv / "simsearch.json").unlink(missing_ok=True)
    if unfinished:
        _say("An earlier installation was not finished; starting again")
    if unfinished or not _is_of_this_python(venv):
        _empty(venv, marker)


def _is_of_this_python(venv: Path) -> bool:
    try:
        lines = (venv / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return False
    return f"version = {'.'.join(map(str, sys.version_info[:3]))}" in lines


def _empty(venv: Path, marker: Path) -> None:
    for path in venv.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()


def _finish(venv: Path, extras: list[str]) -> None:
    fresh = venv / "simsearch.json.new"
    fresh.write_text(json.dumps({"inputs": fingerprint(), "extras": extras}))
    fresh.replace(venv / "simsearch.json")
    (venv / "simsearch.unfinished").unlink()


# --- Before anything is downloaded --------------------------------------------------------------------------


def _take_a_new_enough_python(argv: list[str]) -> None:
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in (13, 12, 11):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, __file__, *argv])  # noqa: S606 (no shell is what we want)
    found = ".".join(map(str, sys.version_info[:2]))
    raise SetupError(f"Python 3.11 or newer is needed, this is {found}; choose one: make run PYTHON=python3.11")


def check_toolchain() -> None:
    """Raise `SetupError`, naming the package to install, when Annoy could not be compiled here."""
    compilers = shlex.split(os.environ.get("CXX", ""))[:1] or ["c++", "g++", "clang++"]
    if not any(shutil.which(compiler) for compiler in compilers):
        raise SetupError(
            "Annoy needs a C++ compiler and none is here; install one: "
            "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), xcode-select --install (macOS)."
        )
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise SetupError(
            "Annoy needs Python's header files and they are not here; install them: "
            "apt install python3-dev (Debian, Ubuntu), dnf install python3-devel (Fedora)."
        )
    if not importlib.util.find_spec("ensurepip"):
        raise SetupError("Python's venv module is not complete here; install it: apt install python3-venv.")


# --- The installation ---------------------------------------------------------------------------------------


def _install(venv: Path, extras: list[str]) -> None:
    check_toolchain()
    kept = _stamp(venv)["extras"]  # kept up to date: `make run` does not leave old test tools behind
    _begin(venv)
    _say(f"Making the environment in {_shown(venv)} (once; it takes some minutes)")
    _call("Python could not make a virtual environment", [sys.executable, "-m", "venv", str(venv)])
    _say("Building Annoy")
    _pip(venv, ["--no-deps", "--no-binary=annoy", "--no-cache-dir", "annoy"], ANNOY_COMPILER_ARGS=annoy_flags())
    if sys.platform == "linux" and not has_nvidia_gpu():
        _try_cpu_torch(venv)
    _say("Installing the packages")
    wanted = sorted({*extras, *kept})
    _pip(venv, requirements(wanted))
    _finish(venv, wanted)
    _say("The environment is ready")


def annoy_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """`ANNOY_FLAGS`, and those of AVX2 where every core has it (0.8 of the time).

    On a machine without it the fingerprint differs, and Annoy is built again.
    """
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cores = [set(line.split()) for line in lines if line.startswith("flags")]
    has_avx = bool(cores) and all(AVX_FLAGS.keys() <= flags for flags in cores)
    return ",".join([ANNOY_FLAGS, *AVX_FLAGS.values()]) if has_avx else ANNOY_FLAGS


def requirements(extras: list[str]) -> list[str]:
    """What `pip install .[extras]` would ask for, read from `setup.cfg` so that nothing is built in the tree."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in extras)]
    return [line for text in texts for line in text.split("\n") if line]


def has_nvidia_gpu() -> bool:
    """Whether this machine shows an NVIDIA GPU or its tools."""
    return bool(glob.glob("/dev/nvidia[0-9]*") or shutil.which("nvidia-smi"))  # noqa: PTH207


def _try_cpu_torch(venv: Path) -> None:
    """The CPU-only torch is a tenth of the size, but has an index of its own, which may be out of reach."""
    _say("Looking for the CPU-only torch")
    _pip(venv, ["uv"])
    pins = [line for line in _pins() if line.split("==")[0] in ("torch", "torchvision")]
    install = [str(venv / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    install += ["--torch-backend=cpu", "--no-deps", *pins]
    probe = {**os.environ, "UV_HTTP_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}
    try:
        subprocess.run([*install, "--dry-run"], env=probe, timeout=TORCH_PROBE_S, capture_output=True, check=True)
    except (subprocess.SubprocessError, OSError):
        _say("It is out of reach; taking the ordinary packages (about 5 GB)")
        return
    if subprocess.run(install, check=False).returncode:
        _say("It could not be installed; taking the ordinary packages (about 5 GB)")


def _pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text().split("\n")


def _pip(venv: Path, arguments: list[str], **variables: str) -> None:
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["-c", str(ROOT / "constraints.txt"), *arguments]
    _call("pip could not install the packages", command, **variables)


def _call(failure: str, command: list[str], **variables: str) -> None:
    """Run a step: with its own progress on a terminal, silently elsewhere; its last lines when it fails."""
    output = None if sys.stdout.isatty() else subprocess.PIPE
    errors, environ = output and subprocess.STDOUT, {**os.environ, **variables}
    step = subprocess.run(command, env=environ, stdout=output, stderr=errors, text=True, check=False)
    if step.returncode:
        print(*(step.stdout or "").splitlines()[-TAIL_LINES:], sep="\n", file=sys.stderr)
        raise SetupError(f"{failure} (exit code {step.returncode}); the lines above say why.")


def _shown(path: Path) -> str:
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


def _say(line: str) -> None:
    print(f"simsearch: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
