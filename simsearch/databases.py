"""Settings of each kind of database that `DATABASE_URL` does not name."""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

POOL_WAIT_S = 3  # longer than most restarts of the server; a waiting thread answers no request
SQLITE = {
    # A writer waits at BEGIN instead of failing half-way; readers never wait (WAL).
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # With temporary files on disk, every result would depend on space in the temporary folder.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
}
# libpq waits for ever for a server that no longer answers, and the kernel for two hours.
POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}


def parsed(url: str) -> dict[str, Any]:
    """Return the entry of Django's DATABASES that an address describes. Its password is in no message."""
    try:
        is_known = urlsplit(url).scheme in Env.DB_SCHEMES
        database: dict[str, Any] = Env.db_url_config(url.strip()) if is_known else {}
        is_whole = bool(database.get("NAME"))
    except ValueError:  # the port
        is_whole = False
    if not is_whole:
        raise ImproperlyConfigured(
            "DATABASE_URL is not an address such as postgres://user:password@host/name; in user and password "
            "write each of @ : / ? # % as its percent code."
        )
    return database


def configured(database: dict[str, Any], pool: int = 0) -> dict[str, Any]:
    """Complete an entry of Django's DATABASES; options in the URL win.

    `pool`: how many connections the threads of this process share at most. 0 is for processes whose threads keep
    their own: a worker's child and a command have one thread that asks. The pool opens with the first query, so
    after gunicorn has forked; Celery would throw it away with every task.
    """
    own = database.get("OPTIONS", {})
    if database["ENGINE"] == "django.db.backends.sqlite3":
        return database | {"CONN_MAX_AGE": 60, "OPTIONS": SQLITE | own}
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL: simsearch works with postgres:// and sqlite:// addresses only.")
    options = POSTGRESQL | own
    if pool:
        options["pool"] = {
            "min_size": 1,
            "max_size": pool,
            "timeout": POOL_WAIT_S,
            # The pause between attempts doubles. With a short limit the next request starts again without a pause:
            # otherwise a long outage of the server would be followed by an equally long one here.
            "reconnect_timeout": POOL_WAIT_S,
        }
    # A connection that has died since (the server was restarted) is noticed before it is used.
    return database | {"CONN_MAX_AGE": 0 if pool else 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}
