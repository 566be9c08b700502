"""A real server behind a real nginx: what is refused, to whom, and what no log tells."""

import ast
import http.client
import json
import time
from contextlib import closing

import httpx
import psutil
import pytest
import redis

from tests.demo import jpegs
from tests.deployment.server import Server, is_loopback, listening

# What is not for everybody

PRIVATE = ["/flower/", "/flower/tasks", "/flower/metrics", "/flower/healthcheck", "/flower/api/workers"]


@pytest.mark.parametrize("address", PRIVATE)
def test_flower_is_refused_to_strangers(server: Server, address: str) -> None:
    refused = server.visitor().get(address)
    assert (refused.status_code, refused.headers["Location"]) == (302, "/admin/login/?next=/flower/")


def test_flower_is_refused_to_accounts_that_are_not_staff(server: Server) -> None:
    assert server.signed_in(is_staff=False).get("/flower/").status_code == 403


def test_the_staff_sees_every_batch_with_its_size_in_flower(server: Server, answer: dict[str, object]) -> None:
    staff = server.signed_in(is_staff=True)
    assert "Flower" in staff.get("/flower/").text
    deadline = time.monotonic() + 30
    while True:
        rows = staff.get("/flower/tasks/datatable", params=DATATABLE).json()["data"]
        if results := [row["result"] for row in rows if row["name"] == "tasks.answer" and row["state"] == "SUCCESS"]:
            break
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)
    assert any(max(ast.literal_eval(result)["batches"], default=0) >= 1 for result in results), results


# What Flower's page asks for.
DATATABLE = {
    "draw": "1",
    "start": "0",
    "length": "500",
    "search[value]": "",
    "order[0][column]": "0",
    "order[0][dir]": "desc",
    "columns[0][data]": "received",
}


def test_flower_still_keeps_what_changes_something_from_a_session_alone(server: Server) -> None:
    staff = server.signed_in(is_staff=True)
    assert staff.post("/flower/api/worker/shutdown/search").status_code in {401, 403}


def test_the_metrics_are_for_this_machine_alone(server: Server) -> None:
    assert server.visitor().get("/metrics").status_code == 403
    assert server.visitor(from_address="127.0.0.2").get("/metrics").status_code == 403
    assert server.signed_in(is_staff=False).get("/metrics").status_code == 403
    assert server.signed_in(is_staff=True).get("/metrics").status_code == 200
    response = httpx.get(f"{server.web_url}/metrics", headers={"Host": "127.0.0.1"})
    assert response.status_code == 200
    assert "simsearch_queries" in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/media/../",
        "/media/../simsearch.env",
        "/static/../simsearch.env",
        "/static/..%2fsimsearch.env",
        "/static%2f%2e%2e/simsearch.env",
        "/static/gallery/../../simsearch.env",
        "/_pictures/../simsearch.env",
        "/_pictures/",
        "/_staff",
        "/media/",
        "/media/simsearch.env",
        "/gallery/..",
        "/flower/../metrics",
        "/flower/x/..",
    ],
)
def test_there_is_no_way_around(server: Server, path: str) -> None:
    assert raw_get(server, path) == 404


def raw_get(server: Server, path: str) -> int:
    """Return the status of a request for exactly this path: a client would tidy it up."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.52"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.nginx.port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def test_nginx_does_not_say_which_it_is(server: Server) -> None:
    assert server.visitor().get("/api/images").headers["Server"] == "nginx"


def test_our_programs_listen_on_the_loopback_alone(server: Server) -> None:
    addresses = listening(
        [server.process.pid, *(child.pid for child in psutil.Process(server.process.pid).children(recursive=True))]
    )
    assert addresses
    assert all(map(is_loopback, addresses)), addresses


def test_redis_refuses_without_its_password(server: Server) -> None:
    with redis.Redis(port=server.redis.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_of_redis_is_in_no_log(server: Server) -> None:
    logs = server.output() + (server.directory / "nginx" / "access.log").read_text()
    assert server.redis.password not in logs
    assert server.postgres.password not in logs


def test_the_link_of_a_result_is_in_no_log(server: Server) -> None:
    visitor = server.visitor("203.0.113.60")
    queries = visitor.post("/api/queries", files={"image": ("p.jpg", jpegs(1)[0])}).json()
    assert visitor.get(queries["url"]).status_code == 200
    access = (server.directory / "nginx" / "access.log").read_text()
    assert '"GET /api/queries/<id>" 200' in access
    assert queries["id"] not in access + server.output()


# Limits


def test_a_body_over_the_limit_is_refused_from_its_header(server: Server) -> None:
    body = b"x" * (18 * 2**20)
    refused = server.visitor().post("/api/queries", files={"image": ("large.jpg", body)})
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "too_large"
    page = server.visitor().post("/", files={"image": ("large.jpg", body)})
    assert page.status_code == 413
    assert "too large" in page.text


def test_only_the_visitor_over_the_rate_is_refused_by_django_and_then_by_nginx(server: Server) -> None:
    keen = server.visitor("203.0.113.50")
    picture = jpegs(1)[0]
    answers = [keen.post("/api/queries", files={"image": ("p.jpg", picture)}) for _ in range(90)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {202, 429}
    assert all(json.loads(answer.text)["error"]["code"] == "throttled" for answer in refused)
    assert all(answer.headers["Retry-After"] == "60" for answer in refused)
    by_django = ["Cross-Origin-Opener-Policy" in answer.headers for answer in refused]
    assert True in by_django
    assert False in by_django

    other = server.visitor("203.0.113.51").post("/api/queries", files={"image": ("p.jpg", picture)})
    assert other.status_code == 202
    # What a visitor writes into the header himself does not make him another one.
    keen.headers["X-Forwarded-For"] = "198.51.100.99, 203.0.113.50"
    assert keen.post("/api/queries", files={"image": ("p.jpg", picture)}).status_code == 429


def test_looking_is_not_limited(server: Server) -> None:
    visitor = server.visitor()
    assert {visitor.get("/healthz").status_code for _ in range(100)} == {200}
