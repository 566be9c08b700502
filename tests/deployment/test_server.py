"""A real server behind a real nginx: what a visitor gets."""

import io
import time

import httpx
from PIL import Image

from tests.demo import jpegs
from tests.deployment.server import Server


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
    for words in (["--queues search"], ["--queues gallery", "--beat"], ["simsearch.launch.flower"], ["gunicorn"]):
        assert server.pids(*words), words
    assert server.pids("redis-server") == server.pids("nginx") == []
    while server.client.get("/readyz").json()["checks"]["worker"]["count"] > 2:
        time.sleep(0.5)  # the heartbeats of workers that an earlier test stopped
    assert server.client.get("/readyz").json()["checks"]["worker"]["count"] == 2


def test_the_page_takes_an_upload_over_https(server: Server) -> None:
    visitor = server.visitor()
    page = visitor.get("/")
    assert page.status_code == 200
    token = page.headers["Set-Cookie"].split("csrftoken=")[1].split(";")[0]
    posted = visitor.post(
        "/",
        data={"csrfmiddlewaretoken": token},
        files={"image": ("picture.jpg", jpegs(1)[0])},
        headers={"Cookie": f"csrftoken={token}", "Referer": server.url.replace("http:", "https:") + "/"},
    )
    assert posted.status_code == 303, posted.text


def test_a_client_by_plain_http_is_sent_to_https(server: Server) -> None:
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
