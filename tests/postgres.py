"""A throw-away PostgreSQL for tests: a cluster of its own in a temporary directory, on a spare port of the loopback."""

import os
import secrets
import shutil
import signal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.ports import free_port
from tests.servers import Server

SERVER_USER = "postgres"  # Debian's; the server refuses to run as root
ROLE = DATABASE = "simsearch"
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


class Cluster(Server):
    """A running server with one empty database; gone, with its directory, at the end of the `with` block."""

    kind = "postgres"
    start_s = stop_s = 60
    gently, at_once = signal.SIGINT, signal.SIGQUIT  # ends the sessions in good order; a crash, with recovery

    def _set_up(self) -> None:
        if reason := unavailable():
            raise RuntimeError(reason)
        self.password, self._superuser_password = secrets.token_hex(16), secrets.token_hex(16)
        self._initialize()
        self._start_somewhere()
        self._make_role()
        self.url = self.create_database(DATABASE)

    def create_database(self, name: str) -> str:
        """Make another empty database. Returns its DATABASE_URL."""
        with self._superuser() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, ROLE))))
        return f"postgres://{ROLE}:{self.password}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start the server that was stopped, on the port that it had, and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(self.port)}).items()]
        program = f"{_binaries()}/postgres"
        self._launch(program, "-D", self._data, "-k", str(self.directory), *options, **self._account())

    # --- Making it ------------------------------------------------------------------------------------------

    def _initialize(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self._superuser_password)
        if os.geteuid() == 0:
            for path in (self.directory, password_file):
                shutil.chown(path, SERVER_USER, SERVER_USER)
        options = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256", "--no-sync"]
        options += ["--encoding=UTF8", "--locale=C.UTF-8"]
        if self._popen(f"{_binaries()}/initdb", "-D", self._data, *options, **self._account()).wait(self.start_s):
            raise RuntimeError(f"initdb failed:\n{self.log()}")
        password_file.unlink()

    def _start_somewhere(self) -> None:
        for attempt in range(STARTS):
            self.port = free_port()
            try:
                return self.start()
            except RuntimeError:  # another process took the port
                if attempt == STARTS - 1:
                    raise
        return None

    def _make_role(self) -> None:
        """Create an ordinary role, as a server has one; it may create databases because Django's test runner does."""
        with self._superuser() as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(ROLE), sql.Literal(self.password)))

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

    def _account(self) -> dict[str, Any]:
        """Return how Popen changes to the server's account, and to a folder that it may enter."""
        if os.geteuid() != 0:
            return {"cwd": self.directory}
        return {"cwd": self.directory, "user": SERVER_USER, "group": SERVER_USER, "extra_groups": []}
