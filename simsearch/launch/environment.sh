#!/bin/sh
# Make the virtual environment: sh simsearch/launch/environment.sh run|test
# For the Dockerfile: `requirements EXTRA…` (--all: what the tests need) and `annoy-flags` print what to install, and how.
set -eu
cd "$(dirname "$0")/../.."
venv=${SIMSEARCH_VENV:-.venv}

# Annoy's own flags are for the very processor that compiles it (-march=native) and for inexact arithmetic. These run
# on every processor of its kind: the rest of Annoy's defaults (without the -D it builds its trees in one thread), and
# leave to add up numbers in any order, without which the compiler takes them one by one (1.5 times as slow).
annoy_flags=-O3,-std=c++14,-fpermissive,-D_CRT_SECURE_NO_WARNINGS,-DANNOYLIB_MULTITHREADED_BUILD
annoy_flags=$annoy_flags,-fassociative-math,-fno-signed-zeros,-fno-trapping-math

say() { echo "simsearch: $*"; }

fail() {
    echo "simsearch: $*" >&2
    exit 1
}

# What `pip install .[extras]` asks for, read from setup.cfg so that nothing is built in the tree.
requirements() {
    "$python" - "$@" <<END
import configparser, sys
setup = configparser.ConfigParser(interpolation=None)
setup.read("setup.cfg", encoding="utf-8")
every = setup["options.extras_require"]
wanted = every if sys.argv[1:] == ["--all"] else sys.argv[1:]
texts = [setup["options"]["install_requires"], *(every[extra] for extra in wanted)]
print(*(line for text in texts for line in text.splitlines() if line and not line.startswith("#")), sep="\n")
END
}

choose_python() {
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
    done
    fail "Python 3.11 or newer is needed; choose one: make run PYTHON=python3.11"
}

# AVX2 is 0.8 of the time, where every core has it. On a machine without it the stamp differs, and Annoy is built again.
add_avx() {
    cores=$(grep -c '^flags' "${CPUINFO:-/proc/cpuinfo}" 2>/dev/null) || return 0
    with_avx=$(grep '^flags' "${CPUINFO:-/proc/cpuinfo}" | grep -w avx2 | grep -cw fma) || return 0
    [ "$cores" != "$with_avx" ] || annoy_flags=$annoy_flags,-mavx2,-mfma
}

is_current() {
    [ -x "$venv/bin/python" ] || return 1
    case $(cat "$venv/simsearch.stamp" 2>/dev/null) in "$inputs $profile" | "$inputs test") ;; *) return 1 ;; esac
}

check_toolchain() {
    for compiler in ${CXX:-c++ g++ clang++}; do
        if command -v "$compiler" >/dev/null; then found=$compiler; fi
        [ -z "${CXX:-}" ] || break
    done
    [ -n "${found:-}" ] || fail "Annoy needs a C++ compiler and none is here; install one:" \
        "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), xcode-select --install (macOS)."
    "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        fail "Annoy needs Python's header files and they are not here; install them:" \
            "apt install python3-dev (Debian, Ubuntu), dnf install python3-devel (Fedora)."
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "Python's venv module is not complete here; install it: apt install python3-venv."
}

# Run a command with its own progress on a terminal, silently elsewhere, and show its last lines when it fails.
step() {
    failure=$1
    shift
    if [ -t 1 ]; then
        "$@" && return
        code=$?
    else
        output=$("$@" 2>&1) && return
        code=$?
        printf '%s\n' "$output" | tail -n 15 >&2
    fi
    fail "$failure (exit code $code); the lines above say why."
}

make_venv() {
    if [ -e "$venv/simsearch.unfinished" ]; then
        say "An earlier installation was not finished; starting again"
        clear=--clear
    elif ! grep -qx "version = $("$python" -c 'import platform; print(platform.python_version())')" \
        "$venv/pyvenv.cfg" 2>/dev/null; then
        [ -e "$venv/simsearch.stamp" ] || [ -z "$(ls -A "$venv")" ] ||
            fail "$venv is not empty and no environment of this Python; remove it or set SIMSEARCH_VENV."
        clear=--clear
    fi
    rm -f "$venv/simsearch.stamp"
    touch "$venv/simsearch.unfinished"
    say "Making the environment in $venv (once; it takes some minutes)"
    step "Python could not make a virtual environment" "$python" -m venv ${clear:+"$clear"} "$venv"
    touch "$venv/simsearch.unfinished"
}

pip_install() {
    step "pip could not install the packages" "$venv/bin/python" -m pip install --no-input \
        --disable-pip-version-check -c constraints.txt "$@"
}

# The CPU-only torch is a tenth of the size, but has an index of its own, which may be out of reach.
try_cpu_torch() {
    if [ "$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || ls /dev/nvidia[0-9]* >/dev/null 2>&1; then return; fi
    say "Looking for the CPU-only torch"
    pip_install uv
    set -- "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend=cpu --no-deps
    set -- "$@" "$(grep ^torch== constraints.txt)" "$(grep ^torchvision== constraints.txt)"
    if UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 timeout 5 "$@" --dry-run >/dev/null 2>&1 && "$@"; then return; fi
    say "It is out of reach; taking the ordinary packages (about 5 GB)"
}

install() {
    grep -q ' test$' "$venv/simsearch.stamp" 2>/dev/null && profile='test' # its tools are kept up to date
    check_toolchain
    make_venv
    say "Building Annoy"
    ANNOY_COMPILER_ARGS=$annoy_flags pip_install --no-deps --no-binary=annoy --no-cache-dir annoy
    try_cpu_torch
    say "Installing the packages"
    extras="flower local postgres worker"
    [ "$profile" = run ] || extras=--all
    # shellcheck disable=SC2086 # words
    requirements $extras >"$venv/requirements.txt"
    pip_install -r "$venv/requirements.txt"
    echo "$inputs $profile" >"$venv/simsearch.stamp"
    rm "$venv/simsearch.unfinished"
    say "The environment is ready"
}

profile=$1
shift
if [ "$profile" = annoy-flags ]; then
    echo "$annoy_flags"
    exit
fi
choose_python
if [ "$profile" = requirements ]; then
    requirements "$@"
    exit
fi
add_avx
inputs=$({ cat setup.cfg constraints.txt simsearch/launch/environment.sh && "$python" -VV && echo "$annoy_flags"; } | cksum | tr ' ' -)
if is_current; then exit; fi
mkdir -p "$venv"
if command -v flock >/dev/null; then # `make run` and `make test` at the same time: the second one waits
    exec 9<"$venv"
    flock 9
fi
is_current || install
