"""GET /readyz: would an upload made now be answered?"""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from gallery.index import generations
from gallery.models import Query
from gallery.operations import workers
from gallery.queries import lifecycle
from tests.gallery.rows import ago, ask
from tests.health.reports import worker
from tests.stack import free_port

pytestmark = pytest.mark.django_db


def readiness(client: Client) -> tuple[int, dict[str, Any]]:
    """Return the status, and each check with its facts."""
    response = client.get("/readyz")
    body = response.json()
    assert body.keys() == {"ready", "checks"}
    assert body["ready"] is (response.status_code == 200)
    assert "no-store" in response["Cache-Control"]
    return response.status_code, body["checks"]


def failing(checks: dict[str, Any]) -> list[str]:
    return [name for name, check in checks.items() if not check["ok"]]


@pytest.fixture
def silent_socket() -> Iterator[int]:
    """Provide the port of somebody who takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield listener.getsockname()[1]


def test_a_system_with_a_worker_is_ready(client: Client) -> None:
    worker()
    status, checks = readiness(client)
    assert status == 200
    assert checks.keys() == {"database", "redis", "worker", "index", "waiting"}
    assert checks["worker"] == {
        "ok": True,
        "count": 1,
        "device": ["cpu"],
        "precision": ["bf16"],
        "model": ["efficientnet_lite0"],
    }
    assert checks["index"] == {"ok": True, "generation": None, "images": 0, "model": None}
    assert checks["waiting"] == {"ok": True, "count": 0, "oldest_s": 0.0}


def test_every_worker_is_counted_with_its_device(client: Client) -> None:
    worker("one", device="cuda:0")
    worker("two", device="cuda:1")
    _, checks = readiness(client)
    assert (checks["worker"]["count"], checks["worker"]["device"]) == (2, ["cuda:0", "cuda:1"])


def test_workers_that_live_and_take_nothing_are_not_ready(client: Client) -> None:
    worker("one", swept_s_ago=60)
    worker("two", swept_s_ago=60)
    status, checks = readiness(client)
    assert (status, failing(checks)) == (503, ["worker"])
    assert (checks["worker"]["count"], checks["worker"]["problem"]) == (
        2,
        "The search workers take nothing off their queue.",
    )
    worker("one")  # the next sweep comes to any of them
    assert readiness(client)[0] == 200


def test_a_worker_of_a_later_version_counts(client: Client) -> None:
    worker()
    with workers.connect() as redis:
        [(name, text)] = redis.hgetall(workers.KEY).items()
        redis.hset(workers.KEY, name, json.dumps(json.loads(text) | {"temperature": 21}))
    status, checks = readiness(client)
    assert (status, checks["worker"]["count"]) == (200, 1)


def test_the_version_before_reads_the_model_of_a_worker() -> None:
    worker()
    with workers.connect() as redis:
        [text] = redis.hgetall(workers.KEY).values()
    assert json.loads(text)["network"] == "efficientnet_lite0-1234"
    assert [report.model_id for report in workers.alive()] == ["efficientnet_lite0-1234"]


def test_the_active_index_is_shown(client: Client) -> None:
    worker()
    generation = generations.start("efficientnet_lite0-1234")
    generations.activate(generation, images=7, last_embedding=7, manifest={})
    _, checks = readiness(client)
    assert checks["index"] == {
        "ok": True,
        "generation": generation.number,
        "images": 7,
        "model": "efficientnet_lite0-1234",
    }


def test_an_index_that_workers_cannot_open_is_reported_and_does_not_stop_searches(client: Client) -> None:
    worker(index_problem="The index was made by another model.")
    status, checks = readiness(client)
    assert (status, checks["index"]["problem"]) == (200, "The index was made by another model.")


def test_a_stranger_learns_no_path_of_this_machine(client: Client) -> None:
    problem = "The index /srv/simsearch/media/index/7 is damaged: no vectors.npy."
    worker(index_problem=problem)
    body = Client(REMOTE_ADDR="203.0.113.1").get("/readyz").json()["checks"]["index"]
    assert body["problem"]
    assert "/" not in body["problem"]
    assert "/" not in client.get("/readyz", HTTP_X_FORWARDED_FOR="203.0.113.1").json()["checks"]["index"]["problem"]
    assert readiness(client)[1]["index"]["problem"] == problem
    staff = Client(REMOTE_ADDR="203.0.113.1")
    staff.force_login(User.objects.create_user("curator", is_staff=True))
    assert readiness(staff)[1]["index"]["problem"] == problem


def test_a_problem_with_an_earlier_index_is_history(client: Client) -> None:
    generation = generations.start("efficientnet_lite0-1234")
    worker(index_problem="vectors.npy is damaged.", tried=generation.number - 1)  # and has had nothing to do since
    generations.activate(generation, images=7, last_embedding=7, manifest={})
    assert "problem" not in readiness(client)[1]["index"]
    worker("two", index_problem="ids.npy is damaged.", tried=generation.number)
    assert readiness(client)[1]["index"]["problem"] == "ids.npy is damaged."


def test_without_a_worker_it_is_not_ready(client: Client) -> None:
    status, checks = readiness(client)
    assert (status, failing(checks)) == (503, ["worker"])
    assert checks["worker"]["problem"]


def test_a_worker_that_fell_silent_is_no_worker(client: Client) -> None:
    worker(heard_s_ago=60)
    status, checks = readiness(client)
    assert (status, failing(checks)) == (503, ["worker"])


@pytest.mark.parametrize(("waited_s", "status"), [(5, 200), (11, 503)])
def test_a_query_that_waits_too_long_is_a_fault(client: Client, waited_s: float, status: int) -> None:
    worker()
    Query.objects.filter(pk=ask().pk).update(waiting_since=ago(waited_s))
    result, checks = readiness(client)
    assert result == status
    assert checks["waiting"]["count"] == 1
    assert checks["waiting"]["oldest_s"] == pytest.approx(waited_s, abs=1)


def test_a_query_under_way_does_not_count_as_waiting(client: Client) -> None:
    worker()
    Query.objects.filter(pk=ask().pk).update(waiting_since=ago(60))
    lifecycle.claim(1)
    assert readiness(client)[0] == 200


def test_a_closed_redis_is_reported_at_once(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    status, checks = readiness(client)
    assert status == 503
    assert {"redis", "worker"} <= set(failing(checks))
    assert checks["redis"]["problem"] == "ConnectionError"


def test_a_silent_redis_is_reported_in_time(client: Client, settings: Settings, silent_socket: int) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{silent_socket}/0"
    settings.REDIS_TIMEOUT_S = 0.1
    start = time.monotonic()
    status, checks = readiness(client)
    assert time.monotonic() - start < 3
    assert (status, checks["redis"]["ok"]) == (503, False)


def test_a_broken_database_is_reported(client: Client) -> None:
    worker()
    with transaction.atomic():
        transaction.set_rollback(True)  # from here on Django answers no question to the database
        status, checks = readiness(client)
    assert status == 503
    assert {"database", "index", "waiting"} <= set(failing(checks))
