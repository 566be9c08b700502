"""A real server behind a real nginx: what a visitor gets, and what only the operator may see."""

import http.client
import io
import json
import time
from contextlib import closing

import httpx
import pytest
import redis
from PIL import Image

from simsearch.local.kin import descendants
from tests.deployment.server import Server, is_loopback, listening
from tests.drills.test_way_of_a_query import some


@pytest.fixture(scope="module")
def answer(server: Server) -> dict[str, object]:
    accepted = server.visitor().post("/api/queries", files={"image": ("own.jpg", gallery_picture(server))})
    assert accepted.status_code == 202
    return server.answer(accepted.json()["id"])


def gallery_picture(server: Server) -> bytes:
    return next(server.photos.rglob("*.jpg")).read_bytes()


def thumbnail_url(answer: dict[str, object]) -> str:
    matches = answer["matches"]
    assert isinstance(matches, list)
    return str(matches[0]["image"]["thumbnail_url"])


# Searching


def test_an_upload_through_nginx_gets_ten(answer: dict[str, object]) -> None:
    matches = answer["matches"]
    assert isinstance(matches, list)
    assert answer["state"] == "done"
    assert len(matches) == 10
    assert matches[0]["similarity"] > 0.99


def test_every_program_runs_and_redis_and_nginx_are_not_among_them(server: Server) -> None:
    assert len(server.pids("--queues search", "search-0")) >= 1
    assert len(server.pids("--queues search", "search-1")) >= 1
    for words in (["--queues gallery"], ["taskless beat"], ["taskless flower"], ["gunicorn"]):
        assert server.pids(*words), words
    assert server.pids("redis-server") == server.pids("nginx") == []
    assert server.client.get("/readyz").json()["checks"]["worker"]["count"] == 2


def test_the_page_takes_an_upload_over_https(server: Server) -> None:
    visitor = server.visitor()
    page = visitor.get("/")
    assert page.status_code == 200
    token = page.headers["Set-Cookie"].split("csrftoken=")[1].split(";")[0]
    posted = visitor.post(
        "/",
        data={"csrfmiddlewaretoken": token},
        files={"image": ("picture.jpg", some(1)[0])},
        headers={"Cookie": f"csrftoken={token}", "Referer": server.url.replace("http:", "https:") + "/"},
    )
    assert posted.status_code == 303, posted.text


def test_whoever_comes_by_plain_http_is_sent_to_https(server: Server) -> None:
    sent = server.visitor(https=False).get("/gallery/")
    assert sent.status_code == 301
    assert sent.headers["Location"].startswith("https://")


def test_only_the_proxy_is_believed_that_it_was_https(server: Server) -> None:
    assert server.visitor(from_address="127.0.0.2").get("/gallery/").status_code == 301


# Files


def test_nginx_sends_the_pictures_that_django_lets_it(server: Server, answer: dict[str, object]) -> None:
    url = thumbnail_url(answer)
    proxied = {"X-Forwarded-Proto": "https"}
    word = httpx.get(server.web_url + url, headers=proxied)
    assert word.headers["X-Accel-Redirect"].startswith("/_pictures/thumbnails/")
    assert word.content == b""

    sent = server.visitor().get(url)
    assert sent.status_code == 200
    assert Image.open(io.BytesIO(sent.content)).format == "JPEG"
    assert "X-Accel-Redirect" not in sent.headers
    assert sent.headers["Content-Type"] == "image/jpeg"
    assert server.visitor().get(url, headers={"If-None-Match": sent.headers["ETag"]}).status_code == 304
    assert server.visitor().get(url, headers={"Range": "bytes=0-9"}).content == sent.content[:10]


def test_thumbnails_are_kept_for_long_and_are_nothing_but_pictures(server: Server, answer: dict[str, object]) -> None:
    headers = server.visitor().get(thumbnail_url(answer)).headers
    assert {"private", "immutable", "max-age=31536000"} == set(headers["Cache-Control"].split(", "))
    assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert headers.get_list("Content-Security-Policy") == ["default-src 'none'; sandbox"]


def test_a_hidden_picture_is_gone_at_once_for_strangers(server: Server) -> None:
    image = server.client.get("/api/images").json()["images"][-1]
    hide = "from gallery.models import Image; Image.objects.filter(pk='{}').update(is_hidden={})"
    assert server.visitor().get(image["thumbnail_url"]).status_code == 200
    assert server.manage("shell", "-c", hide.format(image["id"], True)).returncode == 0
    try:
        assert server.visitor().get(image["thumbnail_url"]).status_code == 404
        assert server.signed_in(is_staff=True).get(image["thumbnail_url"]).status_code == 200
    finally:
        server.manage("shell", "-c", hide.format(image["id"], False))


def test_static_files_come_from_the_disk_hashed_packed_and_for_ever(server: Server) -> None:
    page = server.visitor().get("/").text
    style = page.split('rel="stylesheet" href="')[1].split('"')[0]
    sent = server.visitor().get(style)
    assert sent.status_code == 200
    assert "immutable" in sent.headers["Cache-Control"]
    assert sent.headers["Content-Encoding"] == "gzip"
    assert sent.headers["Content-Type"] == "text/css"
    assert "gallery/style" not in (server.data_dir / "logs" / "web.log").read_text()


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
        if sizes := [row["result"] for row in rows if row["name"] == "tasks.answer" and row["state"] == "SUCCESS"]:
            break
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)
    assert any(int(size) >= 1 for size in sizes), sizes


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
    assert staff.post("/flower/api/worker/shutdown/search-0").status_code in {401, 403}


def test_the_metrics_are_for_this_machine_alone(server: Server) -> None:
    assert server.visitor().get("/metrics").status_code == 403
    assert server.visitor(from_address="127.0.0.2").get("/metrics").status_code == 403
    assert server.signed_in(is_staff=False).get("/metrics").status_code == 403
    assert server.signed_in(is_staff=True).get("/metrics").status_code == 200
    told = httpx.get(f"{server.web_url}/metrics", headers={"Host": "127.0.0.1"})
    assert told.status_code == 200
    assert "simsearch_queries" in told.text


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
    """The status of a request for exactly this path: a client would tidy it up."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.52"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.nginx.port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def test_nginx_does_not_say_which_it_is(server: Server) -> None:
    assert server.visitor().get("/api/images").headers["Server"] == "nginx"


def test_our_programs_listen_on_the_loopback_alone(server: Server) -> None:
    addresses = listening([server.process.pid, *descendants(server.process.pid)])
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
    asked = visitor.post("/api/queries", files={"image": ("p.jpg", some(1)[0])}).json()
    assert visitor.get(asked["url"]).status_code == 200
    access = (server.directory / "nginx" / "access.log").read_text()
    assert '"GET /api/queries/<id>" 200' in access
    assert asked["id"] not in access + server.output()


# Limits


def test_a_body_over_the_limit_is_refused_from_its_header(server: Server) -> None:
    body = b"x" * (18 * 2**20)
    refused = server.visitor().post("/api/queries", files={"image": ("large.jpg", body)})
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "too_large"
    page = server.visitor().post("/", files={"image": ("large.jpg", body)})
    assert page.status_code == 413
    assert "too large" in page.text


def test_a_visitor_over_the_rate_is_refused_by_django_and_then_by_nginx_and_nobody_else(server: Server) -> None:
    keen = server.visitor("203.0.113.50")
    picture = some(1)[0]
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
