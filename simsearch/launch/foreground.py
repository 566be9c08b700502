"""What one waits for: commands in the foreground, questions on the terminal, and the wish to stop."""

import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.1
# Ctrl-C on a terminal reaches the command as well as us: it may finish its sentence.
OWN_STOP_S = 2.0
TERMINATE_S = 10.0


class Stopped(Exception):
    """Somebody asked us to stop."""


def watch_signals() -> threading.Event:
    """An event that Ctrl-C, SIGTERM and a closed terminal set; asking again changes nothing."""
    wish = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: wish.set())
    return wish


def pause(wish: threading.Event, seconds: float) -> None:
    """Sleep; raises `Stopped` as soon as somebody wishes so."""
    if wish.wait(seconds):
        raise Stopped


def manage(wish: threading.Event, environ: Mapping[str, str], *arguments: str) -> int:
    """Run a `manage.py` command that owns the terminal, and return its exit code."""
    command = subprocess.Popen([sys.executable, "manage.py", *arguments], cwd=ROOT, env=dict(environ))
    return _wait(wish, command)


def quietly(wish: threading.Event, environ: Mapping[str, str], *command: str) -> tuple[int, str, str]:
    """Run a command and return its exit code, standard output and standard error."""
    # Files, not pipes: a long traceback never blocks the command while we are waiting for it to end.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        code = _wait(wish, process)
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read()


def _wait(wish: threading.Event, process: subprocess.Popen[bytes]) -> int:
    try:
        while process.poll() is None:
            pause(wish, POLL_S)
    except Stopped:
        _end(process)
        raise
    if wish.is_set():
        raise Stopped
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    for send, patience_s in ((None, OWN_STOP_S), (process.terminate, TERMINATE_S), (process.kill, None)):
        if send:
            send()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return


def on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirmed(wish: threading.Event, question: str) -> bool:
    """Ask on the terminal; no answer is no."""
    say(f"{question} [y/N] ", end="")
    while not select.select([sys.stdin], [], [], 0)[0]:
        pause(wish, POLL_S)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def say(line: str, end: str = "\n") -> None:
    """Print; a terminal that is gone must not keep us from stopping."""
    with suppress(OSError):
        print(line, end=end, flush=True)
