"""Somebody else holds the database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from tests.stack import Stack


@contextmanager
def locked_database(stack: Stack) -> Iterator[None]:
    """Block writes of queries: SQLite has one writer, PostgreSQL a lock of the table that readers pass."""
    if url := stack.database.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE gallery_query IN EXCLUSIVE MODE")
            yield
        return
    path = stack.data_dir / "simsearch.sqlite3"
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
