"""The log: one line per request, to read or for a collector, without anything secret in it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import fresh

REQUESTS = (
    fresh.SITE
    + """
import logging
import os
import uuid
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage

logging.getLogger("httpx").setLevel("WARNING")  # the visitor's own words
if not os.path.exists(settings.STATIC_ROOT):
    call_command("collectstatic", interactive=False, verbosity=0)
made = visitor.post("/api/queries", files={"image": ("my-holiday.jpg", picture["image"][1])}).json()
for path in (f"/q/{made['id']}?secret=1", f"/q/{uuid.uuid4()}", "/nowhere/else", "/healthz"):
    visitor.get(path, headers={"User-Agent": "the-agent", "Cookie": "sessionid=the-session"})
visitor.post("/", files=picture)  # without the token of the form
staticfiles_storage.hashed_files.pop("gallery/favicon.svg")  # which the page of an error does without
visitor.get(f"/q/{made['id']}")
print(made["id"])
"""
)


Served = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Return a function that returns the id of the query and what was logged in a format, or by default."""
    static = str(tmp_path_factory.mktemp("collected") / "static")

    @functools.cache
    def served(form: str) -> tuple[str, str]:
        variables = {"LOG_FORMAT": form} if form else {}
        return serve(tmp_path_factory.mktemp("data"), STATIC_ROOT=static, **variables)

    return served


def serve(data_dir: Path, **environment: str) -> tuple[str, str]:
    fresh.migrate(data_dir)
    finished = fresh.python("-W", "ignore", "-c", REQUESTS, data_dir=data_dir, **environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()[-1], finished.stderr


def requests_in(log: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines()]
    return [line for line in lines if line.get("event") == "request"]


def test_each_request_is_one_line_of_json(served: Served) -> None:
    _, log = served("json")
    records = requests_in(log)
    assert [(line["method"], line["view"], line["status"]) for line in records] == [
        ("POST", "api-1:ask", 202),
        ("GET", "query", 200),
        ("GET", "query", 404),
        ("GET", "unresolved", 404),
        ("GET", "healthz", 200),
        ("POST", "home", 403),
        ("GET", "query", 500),
    ]
    assert records[0]["outcome"] == "accepted"
    assert all(line["ms"] > 0 and line["level"] == "INFO" and line["time"] for line in records)


@pytest.mark.parametrize("form", ["line", "json"])
def test_no_line_holds_a_secret(served: Served, form: str) -> None:
    query, log = served(form)
    assert "api-1:ask" in log
    assert "Internal Server Error: (path)" in log
    assert "Missing staticfiles manifest entry" in log  # the log says what went wrong
    for secret in (query, "my-holiday", "secret=1", "the-session", "the-agent", "/q/", "/nowhere"):
        assert secret not in log


def test_the_default_is_for_people(served: Served) -> None:
    _, log = served("")
    assert " INFO gallery.site.middleware: POST api-1:ask 202 accepted " in log


def test_an_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    finished = fresh.python("manage.py", "check", data_dir=tmp_path, LOG_FORMAT="xml")
    assert finished.returncode != 0
    assert "LOG_FORMAT is 'xml'; it can be line or json." in finished.stderr
