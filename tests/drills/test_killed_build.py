"""A build can be killed at any moment: what is active stays whole, and the next build cleans up."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, LiteralString

import psycopg
import pytest

from engine.index.annoy_index import Index
from tests.demo import write_gallery
from tests.engine.galleries import MODEL_ID
from tests.environment import DATA_DIR, own_database
from tests.stack import ROOT

COMMAND_KILLS = 6
BUILD_KILLS = 50
PICTURES = 1500  # enough for most pictures to be no candidates; a build takes about a second

FILL = f"""
from gallery.models import Embedding
from tests.engine.galleries import MODEL_ID, make_vectors
Embedding.objects.bulk_create(
    Embedding(image_id=f"{{n:064x}}", model_id=MODEL_ID, vector=vector.astype("<f2").tobytes())
    for n, vector in enumerate(make_vectors({PICTURES}))
)
"""

# Everything is imported once; each line asks for one build in a process of its own, killed after that many seconds.
# Says whether the signal found it at work, and how many seconds it ran.
BUILDS = """
import os, sys, time, django
django.setup()
from tasks.indexing.build import build_generation
print("READY", flush=True)
for line in sys.stdin:
    model_id, killed_after_s = line.split()
    began, child = time.monotonic(), os.fork()
    if not child:
        build_generation(model_id)
        os._exit(0)
    if killed_after_s != "never":
        time.sleep(float(killed_after_s))
        os.kill(child, 9)
    status = os.waitpid(child, 0)[1]
    print(os.WIFSIGNALED(status), time.monotonic() - began, flush=True)
"""


class Builder:
    """Builds one generation after the other, each in a process that may be killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        settings = environment | {"DJANGO_SETTINGS_MODULE": "simsearch.settings", "LOG_LEVEL": "WARNING"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", BUILDS], cwd=ROOT, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin
        assert self._process.stdout
        self._asks: IO[bytes] = self._process.stdin
        self._says: IO[bytes] = self._process.stdout
        assert self._says.readline() == b"READY\n"

    def build(self, killed_after_s: float | None = None) -> tuple[bool, float]:
        """Return whether it was killed at work, and how many seconds it ran."""
        self._asks.write(f"{MODEL_ID} {killed_after_s or 'never'}\n".encode())
        self._asks.flush()
        was_killed, ran_s = self._says.readline().split()
        return was_killed == b"True", float(ran_s)

    def close(self) -> None:
        self._asks.close()
        self._process.wait(30)
        self._says.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an installation of its own, without Redis and workers."""
    data = tmp_path / "data"
    data.mkdir()
    redis = f"unix://{DATA_DIR}/redis.sock"
    own = {"SIMSEARCH_DATA_DIR": str(data), "REDIS_URL": redis, "SIMSEARCH_BATCH": "4"}
    environment = os.environ | own | own_database()
    manage(environment, "migrate").check_returncode()
    return environment


@pytest.fixture
def builder(environment: dict[str, str]) -> Iterator[Builder]:
    manage(environment, "shell", "-c", FILL).check_returncode()
    builder = Builder(environment)
    yield builder
    builder.close()


def manage(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def connect(environment: dict[str, str]) -> "sqlite3.Connection | psycopg.Connection":
    if url := environment.get("DATABASE_URL"):
        return psycopg.connect(url)
    return sqlite3.connect(Path(environment["SIMSEARCH_DATA_DIR"], "simsearch.sqlite3"), timeout=20)


def ask(environment: dict[str, str], question: LiteralString) -> list[int]:
    with closing(connect(environment)) as database:
        return [row[0] for row in database.execute(f"SELECT number FROM gallery_indexgeneration WHERE {question}")]


def assert_the_active_one_answers(environment: dict[str, str]) -> int:
    """Open it as a worker would, and let a picture find itself; returns its number."""
    [number] = ask(environment, "is_active")
    index = Index.open(Path(environment["SIMSEARCH_DATA_DIR"], "index", str(number)), MODEL_ID)
    vectors = index.vectors_at(index.ids[:1] - index.ids[0])
    [hits] = index.search(vectors, 10)
    assert hits.ids[0] == index.ids[0]
    assert len(hits.ids) == 10
    return number


def test_a_killed_command_is_taken_up_again(environment: dict[str, str], tmp_path: Path) -> None:
    photos = write_gallery(tmp_path / "photos", per_kind=8)
    manage(environment, "import_images", str(photos)).check_returncode()
    chance = random.Random(7)
    for _ in range(COMMAND_KILLS):
        build = subprocess.Popen([sys.executable, "manage.py", "build_index"], cwd=ROOT, env=environment)
        time.sleep(chance.uniform(2, 8))
        build.send_signal(signal.SIGKILL)
        build.wait()
    done = manage(environment, "build_index")
    assert done.returncode == 0, done.stderr
    assert "Active: generation" in done.stdout
    assert manage(environment, "evaluate").returncode == 0
    index = Path(environment["SIMSEARCH_DATA_DIR"], "index")
    assert all(path.name.isdecimal() for path in index.iterdir()), "a killed build's leftovers are still there"


def test_fifty_killed_builds_leave_the_active_generation_whole(environment: dict[str, str], builder: Builder) -> None:
    data = Path(environment["SIMSEARCH_DATA_DIR"])
    _, whole_s = builder.build()
    first = assert_the_active_one_answers(environment)
    chance, at_work, half_written = random.Random(8), 0, 0
    for _ in range(BUILD_KILLS):
        killed_after_s = chance.uniform(0, whole_s)
        was_killed, _ = builder.build(killed_after_s)
        if not was_killed:  # the machine has less to do than at the first build
            whole_s = killed_after_s
        at_work += was_killed
        half_written += any((data / "index").glob(".*"))
        assert_the_active_one_answers(environment)
    print(f"{at_work} of {BUILD_KILLS} kills met a build ({whole_s:.1f} s long) at work, {half_written} while it wrote")
    assert at_work > BUILD_KILLS / 2
    assert half_written > 0

    assert not builder.build()[0]
    assert assert_the_active_one_answers(environment) > first
    assert ask(environment, "state = 'building'") == []
    left = {path.name for path in (data / "index").iterdir()}
    assert left <= {str(number) for number in ask(environment, "state = 'ready'")}
