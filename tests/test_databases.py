"""What DATABASE_URL says and what it leaves open."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from simsearch.databases import configured
from tests import fresh
from tests.ports import free_port

POSTGRES = "postgres://someone:opensesame@db.example.org:5433/gallery"


def test_options_in_the_address_win() -> None:
    database = configured(Env.db_url_config(f"{POSTGRES}?sslmode=require&connect_timeout=2"))
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example.org", 5433, "gallery")
    options = database["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"], options["keepalives_idle"]) == ("require", 2, 30)


def test_a_pool_is_for_processes_with_many_threads() -> None:
    alone, pooled = (configured(Env.db_url_config(POSTGRES), pool) for pool in (0, 8))
    assert "pool" not in alone["OPTIONS"]
    assert alone["CONN_MAX_AGE"] > 0
    assert pooled["OPTIONS"]["pool"]["max_size"] == 8
    assert pooled["CONN_MAX_AGE"] == 0  # Django refuses both at once
    assert alone["CONN_HEALTH_CHECKS"] is pooled["CONN_HEALTH_CHECKS"] is True
    assert "pool" not in configured(Env.db_url_config("sqlite:////tmp/a.sqlite3"), 8)["OPTIONS"]


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        configured(Env.db_url_config("mysql://someone@db.example.org/gallery"))


@pytest.mark.parametrize("command", [["build_index"], ["evaluate"], ["migrate"]])
def test_a_database_that_is_away_is_one_clear_line(tmp_path: Path, command: list[str]) -> None:
    away = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    finished = fresh.python("manage.py", *command, data_dir=tmp_path, DATABASE_URL=away)
    assert finished.returncode == 1
    [line] = finished.stderr.splitlines()
    assert line.startswith("simsearch: The database (DATABASE_URL) reports: ")
    assert "Connection refused" in line
