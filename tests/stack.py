"""A running system for tests: started as `make run` starts it, talked to over HTTP, killed for real."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import httpx
import psycopg

from tests import demo
from tests.environment import DATA_DIR, IS_MILVUS, made_once, own_database, own_index
from tests.ports import free_port as free_port  # most that want one start a stack

ROOT = Path(__file__).resolve().parent.parent
START_S, STOP_S = 180, 60
API_KEY = "key-of-the-tests"  # of systems that have one


def _fill_template(directory: Path) -> None:
    """Make photos/ and data/, a data directory with their index."""
    demo.write_gallery(directory / "photos")
    data_dir = directory / "data"
    data_dir.mkdir()
    environment = os.environ | {"SIMSEARCH_DATA_DIR": str(data_dir)}
    for command in (
        ["-m", "simsearch.launch.prepare"],
        ["manage.py", "import_images", str(directory / "photos")],
        ["manage.py", "build_index"],
    ):
        subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


class Stack:
    """A system of its own: data directory, database, Redis, workers, gunicorn.

    On SQLite, with Annoy and without `photos` of its own its gallery is there when it starts: half the time.
    """

    def __init__(
        self,
        directory: Path,
        photos: Path | None = None,
        database: dict[str, str] | None = None,
        **environment: str,
    ) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.database = database or own_database()
        self.photos = photos or directory / "photos"
        if not self.photos.exists():
            self._fill()
        self.pass_fds: list[int] = []  # what its parent process is given besides
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)
        inherited = {k: v for k, v in os.environ.items() if v and DATA_DIR not in v and k not in OWN}
        self.environment = inherited | {
            "SIMSEARCH_DATA_DIR": str(self.data_dir),
            "FLOWER_UNAUTHENTICATED_API": "true",
            **self.database,
            **own_index(),
            **environment,
        }

    def _fill(self) -> None:
        if self.database or IS_MILVUS:
            demo.write_gallery(self.photos)
            return
        template = made_once("template", _fill_template)
        shutil.copytree(template / "photos", self.photos)
        shutil.copytree(template / "data", self.data_dir, dirs_exist_ok=True)

    def __enter__(self) -> Self:
        self.log = (self.directory / "run.log").open("w+")
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            Stack.__exit__(self, None, None, None)
            raise
        return self

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(),
            cwd=ROOT,
            env=self.environment,
            pass_fds=self.pass_fds,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def command(self) -> list[str]:
        """Return what starts it and stays its parent."""
        command = [sys.executable, "-m", "simsearch.launch.run", "--photos", str(self.photos)]
        return [*command, "--host", "127.0.0.1", "--port", str(self.port)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.stop()
        self.log.close()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            assert self.process.poll() is None, f"the system ended early:\n{self.output()}"
            assert time.monotonic() < deadline, f"the system is not ready:\n{self.output()}"
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_S)

    def output(self) -> str:
        """Return what the starter and the programs have said so far."""
        logs = [self.directory / "run.log", *sorted((self.data_dir / "logs").glob("*.log"))]
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a manage.py command on this system, as a person would in a second terminal."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    @property
    def flower_url(self) -> str:
        """Where the starter says that Flower is."""
        while not (result := re.search(r"Flower +(http://\S+)/", (self.directory / "run.log").read_text())):
            time.sleep(0.1)
        return result[1]

    def rows(self, question: LiteralString, *values: str) -> list[tuple[Any, ...]]:
        """Return what its database answers to a question with `%s` for each value, past all our code."""
        if url := self.database.get("DATABASE_URL"):
            with psycopg.connect(url) as connection:
                return connection.execute(question, values).fetchall()
        with closing(sqlite3.connect(self.data_dir / "simsearch.sqlite3", timeout=20)) as database:
            return database.execute(question.replace("%s", "?"), values).fetchall()

    def matches(self) -> list[int]:
        """Return how many matches each finished query has, past all our code."""
        stored = [matches for (matches,) in self.rows("SELECT matches FROM gallery_query WHERE state = 'done'")]
        return [len(json.loads(matches) if isinstance(matches, str) else matches) for matches in stored]

    # --- Asking ---------------------------------------------------------------------------------------------

    def ask(self, picture: bytes, **data: str) -> httpx.Response:
        return self.client.post("/api/queries", files={"image": ("picture.jpg", picture)}, data=data)

    def answer(self, query_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """Poll until the query is done or failed."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer: dict[str, Any] = self.client.get(f"/api/queries/{query_id}").json()
            if answer["state"] in {"done", "failed"}:
                return answer
            assert time.monotonic() < deadline, f"still {answer['state']}:\n{self.output()}"
            time.sleep(0.05)

    # --- Processes ------------------------------------------------------------------------------------------

    def pids(self, *words: str) -> list[int]:
        """Return the processes of this system whose command line has all of the words."""
        return sorted(pid for pid in _all_pids() if self._is_mine(pid) and _has(pid, words))

    def _is_mine(self, pid: int) -> bool:
        return f"SIMSEARCH_DATA_DIR={self.data_dir}".encode() in _proc(pid, "environ").split(b"\0")


OWN = {"SECRET_KEY", "ALLOWED_HOSTS", "SIMSEARCH_HTTPS", "SIMSEARCH_DATA_DIR", "REDIS_URL", "DATABASE_URL"}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _has(pid: int, words: tuple[str, ...]) -> bool:
    command = _proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")
    return all(word in command for word in words)


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
