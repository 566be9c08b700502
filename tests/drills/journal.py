"""What happened to each query, as the database itself notes it: nothing is missed between two looks."""

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from tests.stack import Stack

TABLE: LiteralString = "CREATE TABLE journal (at FLOAT, query TEXT, state TEXT, claimed_by TEXT);"
# SQLite's own clock is the start of a statement, in milliseconds; PostgreSQL's the moment of the change.
SQLITE: LiteralString = """
CREATE TRIGGER journal_{0} AFTER {1} ON gallery_query BEGIN
    INSERT INTO journal VALUES
        ((julianday('now') - 2440587.5) * 86400, new.id, new.state, new.claimed_by);
END;
"""
POSTGRES: LiteralString = """
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO journal VALUES
        (extract(epoch FROM clock_timestamp()), new.id::text, new.state, new.claimed_by);
    RETURN new;
END $$;
CREATE TRIGGER journal AFTER INSERT OR UPDATE OF state ON gallery_query FOR EACH ROW EXECUTE FUNCTION note();
"""


def keep(stack: Stack) -> None:
    """Note every change of a query's state from now on."""
    if url := stack.database.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            connection.execute(TABLE + POSTGRES)
        return
    with closing(sqlite3.connect(stack.data_dir / "simsearch.sqlite3", timeout=20)) as database:
        database.executescript(TABLE + SQLITE.format("insert", "INSERT") + SQLITE.format("update", "UPDATE OF state"))


@dataclass(frozen=True)
class Entry:
    """A query after one change; `at` is in seconds since the epoch, `process` who claimed it last, 0 if nobody did."""

    at: float
    query: str
    state: str
    process: int


def read(stack: Stack) -> list[Entry]:
    """Return all entries so far, the oldest first."""
    rows = stack.rows("SELECT at, query, state, claimed_by FROM journal ORDER BY at")
    return [Entry(at, _plain(query), state, _process(owner)) for at, query, state, owner in rows]


def count_runs(stack: Stack) -> int:
    """Return how many times a query was taken on so far."""
    return int(stack.rows("SELECT count(*) FROM journal WHERE state = 'running'")[0][0])


def _plain(id_: str) -> str:
    return id_.replace("-", "")  # SQLite keeps a UUID without


def _process(owner: str) -> int:
    return int(owner.rpartition(":")[2] or 0)


def runs(entries: list[Entry]) -> dict[str, list[Entry]]:
    """Return the entries by which a process took a query on, by the query's id without dashes."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.state == "running":
            found[entry.query].append(entry)
    return found


def longest_rest_s(entries: list[Entry]) -> float:
    """Return the longest time in which some query was unfinished and yet none was taken on or finished."""
    longest_s, last_at, unfinished = 0.0, 0.0, set[str]()
    for entry in entries:
        has_moved = entry.state != "waiting"
        if unfinished and has_moved:
            longest_s = max(longest_s, entry.at - last_at)
        if not unfinished or has_moved:
            last_at = entry.at
        (unfinished.discard if entry.state in {"done", "failed"} else unfinished.add)(entry.query)
    return longest_s
