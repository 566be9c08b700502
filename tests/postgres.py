"""A throw-away PostgreSQL for tests: a cluster of its own in a temporary directory, on a spare port of the loopback."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import psycopg
from psycopg import sql

from simsearch.launch import process_group
from tests.ports import free_port

SERVER_USER = "postgres"  # Debian's; the server refuses to run as root
ROLE = DATABASE = "simsearch"
START_S = STOP_S = 60
STARTS = 5
# Nothing here outlives the tests, so nothing needs to survive a power cut. Commits wait for their log all the same
# (synchronous_commit stays on): the server may crash in a test, and must then know what it has confirmed.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}


def unavailable() -> str | None:
    """Why no cluster can be made on this machine; None when it can."""
    if not _binaries():
        return "PostgreSQL's server is not installed (Debian and Ubuntu: apt install postgresql)"
    if os.geteuid() == 0 and not _account_exists(SERVER_USER):
        return f"PostgreSQL does not run as root, and there is no account {SERVER_USER}"
    return None


def _binaries() -> Path | None:
    """Return the folder of `initdb` and `postgres`: the one on PATH, else Debian's newest."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


def _account_exists(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text().splitlines())


class Cluster:
    """A running server with one empty database; gone, with its directory, at the end of the `with` block.

    Raises RuntimeError with the server's own words when it does not start.
    """

    def __enter__(self) -> Self:
        if reason := unavailable():
            raise RuntimeError(reason)
        self.password, self._superuser_password = secrets.token_hex(16), secrets.token_hex(16)
        # Not below pytest's own temporary folder, which another account may not enter.
        self.directory = Path(tempfile.mkdtemp(prefix="simsearch-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._initialize()
            self._start_somewhere()
            self._make_role()
            self.url = self.create_database(DATABASE)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def create_database(self, name: str) -> str:
        """Make another empty database. Returns its DATABASE_URL."""
        with self._superuser() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, ROLE))))
        return f"postgres://{ROLE}:{self.password}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start the server that was stopped, on the port that it had, and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(self.port)}).items()]
        with (self.directory / "server.log").open("ab") as log:
            self._process = self._popen("postgres", "-D", self._data, "-k", str(self.directory), *options, log=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends the sessions in good order, SIGQUIT is a crash with recovery at the start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STOP_S)

    def log(self) -> str:
        """Return the last lines that the server wrote."""
        return (self.directory / "server.log").read_text(errors="replace")[-3000:]

    # --- Making and removing --------------------------------------------------------------------------------

    def _initialize(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self._superuser_password)
        if os.geteuid() == 0:
            for path in (self.directory, password_file):
                shutil.chown(path, SERVER_USER, SERVER_USER)
        options = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256", "--no-sync"]
        options += ["--encoding=UTF8", "--locale=C.UTF-8"]
        with (self.directory / "server.log").open("ab") as log:
            if self._popen("initdb", "-D", self._data, *options, log=log).wait(START_S):
                raise RuntimeError(f"initdb failed:\n{self.log()}")
        password_file.unlink()

    def _start_somewhere(self) -> None:
        for attempt in range(STARTS):
            self.port = free_port()
            try:
                return self.start()
            except RuntimeError:  # somebody else took the port meanwhile
                if attempt == STARTS - 1:
                    raise
        return None

    def _make_role(self) -> None:
        """Create an ordinary role, as a server has one; it may create databases because Django's test runner does."""
        with self._superuser() as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(ROLE), sql.Literal(self.password)))

    def _remove(self) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGQUIT)
        finally:
            shutil.rmtree(self.directory)

    # --- Talking to it --------------------------------------------------------------------------------------

    def _superuser(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self._superuser_password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _answers(self) -> bool:
        try:
            self._superuser().close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> str:
        return str(self.directory / "data")

    def _popen(self, program: str, *arguments: str, log: BinaryIO) -> subprocess.Popen[bytes]:
        account = SERVER_USER if os.geteuid() == 0 else None
        return subprocess.Popen(
            [f"{_binaries()}/{program}", *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests; they stop it themselves
            preexec_fn=process_group.follow_parent,  # noqa: PLW1509 (nothing else ends it when the tests are killed)
            user=account,
            group=account,
            extra_groups=[] if account else None,
        )
