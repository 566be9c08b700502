"""Loaded before Django's settings (setup.cfg: `-p tests.environment`): every run has a data directory of its own.

SIMSEARCH_TEST_DATABASE chooses what the tests run on: `sqlite` (the default) or `postgres`, a cluster of their own.
SIMSEARCH_TEST_INDEX chooses the index: `annoy` (the default), `milvus` or `milvus-lite`, a server of their own.
"""

import atexit
import fcntl
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import milvus, postgres

DATA_DIR = tempfile.mkdtemp(prefix="simsearch-tests-")
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
# Of pytest's first process, which starts the others and ends last.
SHARED_DIR = os.environ.get("SIMSEARCH_TEST_SHARED_DIR") or DATA_DIR

os.environ |= {
    "SIMSEARCH_TEST_SHARED_DIR": SHARED_DIR,
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "SIMSEARCH_HTTPS": "off",
    "SIMSEARCH_DATA_DIR": DATA_DIR,
    "REDIS_URL": f"unix://{DATA_DIR}/redis.sock",
    # Threads of two test processes that wait for each other on two cores take twenty times as long as one.
    "OMP_NUM_THREADS": "1",
}
# The tests start hundreds of processes: the first one compiles the code for all, also where the shell forbids it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Never the database that somebody's shell happens to name.
for name in ("DATABASE_URL", "DATABASE_URL_FILE", "SIMSEARCH_INDEX", "SIMSEARCH_MILVUS_URI"):
    os.environ.pop(name, None)


def _start_cluster() -> postgres.Cluster | None:
    """Return the cluster of this test run; None on SQLite."""
    kind = os.environ.get("SIMSEARCH_TEST_DATABASE") or "sqlite"
    if kind == "sqlite":
        return None
    if kind != "postgres":
        raise pytest.UsageError(f"SIMSEARCH_TEST_DATABASE={kind}: choose sqlite or postgres")
    if reason := postgres.unavailable():
        raise pytest.UsageError(f"the tests cannot run on PostgreSQL: {reason}")
    cluster = postgres.Cluster()
    cluster.__enter__()
    atexit.register(cluster.__exit__, None, None, None)
    os.environ["DATABASE_URL"] = cluster.url
    return cluster


CLUSTER = _start_cluster()


MILVUS_URI = "SIMSEARCH_TEST_MILVUS_URI"  # of the server that pytest's first process started for all


def _use_milvus() -> bool:
    """Have Milvus as the index where that was asked for; whether it was."""
    kind = os.environ.get("SIMSEARCH_TEST_INDEX") or "annoy"
    if kind == "annoy":
        return False
    if kind not in milvus.KINDS:
        raise pytest.UsageError(f"SIMSEARCH_TEST_INDEX={kind}: choose annoy, milvus or milvus-lite")
    if reason := milvus.unavailable(kind):
        raise pytest.UsageError(f"the tests cannot run with Milvus as the index: {reason}")
    if MILVUS_URI not in os.environ:
        server = milvus.Server(kind)
        server.__enter__()
        atexit.register(server.__exit__, None, None, None)
        os.environ[MILVUS_URI] = server.uri
    os.environ |= {"SIMSEARCH_INDEX": "milvus", "SIMSEARCH_MILVUS_URI": os.environ[MILVUS_URI], **own_index()}
    return True


def made_once(name: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder that the first process of this test run that asks for it has filled; nobody changes it."""
    folder = Path(SHARED_DIR, name)
    with Path(SHARED_DIR, f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            (filling := Path(SHARED_DIR, f"{name}.part")).mkdir()
            fill(filling)
            filling.rename(folder)
    return folder


def own_index() -> dict[str, str]:
    """Return the variables that give a process collections of its own on the server that it uses."""
    return {"SIMSEARCH_MILVUS_PREFIX": f"own_{secrets.token_hex(6)}"}


IS_MILVUS = _use_milvus()


def own_database() -> dict[str, str]:
    """Return the variables that give a process of its own a database of its own: a new one, empty, of the same kind.

    On SQLite there are none: the database is in the data directory.
    """
    return {"DATABASE_URL": CLUSTER.create_database(f"own_{secrets.token_hex(6)}")} if CLUSTER else {}
