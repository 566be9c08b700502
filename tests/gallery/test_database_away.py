"""A database that does not answer: 503 and a sentence, never an error page; and whatever was under way is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError

from gallery.persistence import is_disk_full, persist
from tests import fresh
from tests.ports import free_port

VISITS = """
import json
import httpx
from simsearch.wsgi import application
from tests.engine.pictures import encoded, scene

visitor = httpx.Client(transport=httpx.WSGITransport(application), base_url="http://testserver")
picture = {"image": ("picture.jpg", encoded(scene(), "JPEG"))}
like = "00000000-0000-4000-8000-000000000000"
answers = [
    visitor.get("/"),
    visitor.post("/api/queries", files=picture),
    visitor.get(f"/api/queries/{like}"),
    visitor.get("/gallery/"),
    visitor.get("/readyz"),
    visitor.get("/metrics"),
    visitor.get("/healthz"),
]
retry = [answer.headers.get("Retry-After") for answer in answers[:4]]
print(json.dumps([[answer.status_code for answer in answers], retry, answers[1].json(), answers[4].json()]))
"""


@pytest.fixture(params=["sqlite", "postgres", pytest.param("postgres, pooled", marks=pytest.mark.drill)])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a process whose database cannot be reached."""
    if request.param == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/simsearch.sqlite3"}
    pool = {"SIMSEARCH_DATABASE_POOL": "2"} if "pooled" in request.param else {}
    return {"DATABASE_URL": f"postgres://someone:opensesame@127.0.0.1:{free_port()}/gallery"} | pool


def test_every_page_is_an_answer_while_the_database_is_away(away: dict[str, str], tmp_path: Path) -> None:
    output = fresh.run(VISITS, tmp_path, DEBUG="on", **away)
    statuses, retry, refusal, ready = json.loads(output.splitlines()[-1])
    assert statuses == [503] * 6 + [200]
    assert retry == ["5"] * 4
    assert refusal["error"]["code"] == "busy"
    assert {name for name, check in ready["checks"].items() if not check["ok"]} >= {"database", "index", "waiting"}
    assert "opensesame" not in output
    assert list(Path(tmp_path, "pictures").rglob("*.jpg")) == []  # what was not accepted is not kept


@pytest.mark.parametrize(
    "error",
    [
        'could not extend file "base/16384/16421": No space left on device\nHINT:  Check free disk space.',
        "database or disk is full",
    ],
)
def test_a_full_database_differs_from_one_that_is_away(error: str) -> None:
    assert is_disk_full(OperationalError(error))
    assert not is_disk_full(OperationalError("database is locked"))


def failing(times: int, error: type[Exception]) -> Callable[[], str]:
    calls = iter(range(times))

    def write() -> str:
        if next(calls, None) is not None:
            raise error("the connection is lost")
        return "written"

    return write


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError, IntegrityError])
def test_a_write_is_repeated_until_it_is_kept(error: type[Exception]) -> None:
    assert persist(failing(2, error)) == "written"


@pytest.mark.django_db(transaction=True)
def test_an_error_of_another_kind_is_not_repeated() -> None:
    write = failing(1, ValueError)
    with pytest.raises(ValueError, match="the connection is lost"):
        persist(write)
    assert write() == "written"


def test_within_a_transaction_nothing_is_repeated(db: None) -> None:
    write = failing(1, OperationalError)
    with pytest.raises(OperationalError):
        persist(write)
    assert write() == "written"
