"""Repeat writes that must not be lost while the database is away or busy for a moment."""

import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

T = TypeVar("T")

AWAY = (OperationalError, InterfaceError)  # the database is locked, restarted or unreachable for a moment

# The messages of SQLite and PostgreSQL for a full disk.
DISK_FULL = ("database or disk is full", "No space left on device")

# Their messages for a database without the latest migrations.
OUTDATED = re.compile(r"^(relation|column) .* does not exist|^no such (table|column)")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


def reason(error: Exception) -> str:
    """Return one line on what is wrong: with a file, its name; with the database, the first line of what it says.

    PostgreSQL adds the place in the statement, on more lines.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).strip().partition("\n")[0]
    return f"{text}; run manage.py migrate" if OUTDATED.search(text) else text


def is_disk_full(error: Exception) -> bool:
    """Return whether the database refused a write because its disk is full."""
    return isinstance(error, OperationalError) and any(words in str(error) for words in DISK_FULL)


def persist(write: Callable[[], T]) -> T:
    """Call `write`, which must be safe to repeat, until the database takes it, for a third of a run's time at most.

    Repeated after a lost connection, a deadlock, and a row that another transaction deleted under us (PostgreSQL;
    SQLite has one writer). Inside a transaction it is called once: only the whole of that can be repeated.

    Raises what the last call raised.
    """
    deadline, pause_s = time.monotonic() + settings.SIMSEARCH_ANSWER_LIMIT_S / 3, FIRST_PAUSE_S
    while True:
        try:
            return write()
        except (*AWAY, IntegrityError) as error:
            if connection.in_atomic_block or time.monotonic() + pause_s > deadline:
                raise
            logger.warning("the database refused a write, which is repeated: %s", reason(error))
            connection.close()  # it may be dead, which Django would notice only at the next task
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
