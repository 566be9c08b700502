"""A curator uploads 300 pictures while the gallery worker is killed again and again: none is lost."""

import io
import os
import re
import secrets
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.engine.pictures import encoded, noise
from tests.stack import Stack

PICTURES, ZIPPED, KILLS = 200, 100, 4
SECRET = secrets.token_urlsafe()
DECODED_S = 240


def picture(number: int) -> bytes:
    return encoded(noise(64, 48, 5000 + number), "PNG")


def gallery_workers(stack: Stack) -> list[psutil.Process]:
    """Return the children of the gallery worker, which decode and import."""
    found = []
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it ended just now
            if "gallery@" in " ".join(process.cmdline()):
                found.append(process)
    return found


@contextmanager
def signed_in(stack: Stack) -> Iterator[httpx.Client]:
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    stack.manage("createsuperuser", "--noinput", "--username", "drill", "--email", "d@example.org").check_returncode()
    with httpx.Client(base_url=stack.url, timeout=30, follow_redirects=True) as client:
        form = {"username": "drill", "password": SECRET, "next": "/admin/"}
        form["csrfmiddlewaretoken"] = token(client, "/admin/login/")
        client.post("/admin/login/", data=form).raise_for_status()
        client.headers["X-CSRFToken"] = token(client, "/admin/gallery/image/add-many/")
        yield client


def token(client: httpx.Client, address: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(address).text)
    assert found
    return found[1]


def kill_one(stack: Stack) -> None:
    for process in gallery_workers(stack)[-1:]:
        os.kill(process.pid, signal.SIGKILL)


def send_zip(client: httpx.Client) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number in range(PICTURES, PICTURES + ZIPPED):
            file.writestr(f"{number}.png", picture(number))
    whole = data.getvalue()
    begun = client.post("/admin/gallery/image/add-many/zip/", data={"name": "drill.zip", "size": len(whole)}).json()
    octets = {"Content-Type": "application/octet-stream"}
    client.post(f"{begun['url']}?offset=0", content=whole, headers=octets).raise_for_status()


def test_killing_the_worker_in_the_middle_of_an_upload_loses_no_picture(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack, signed_in(stack) as client:
        before = stack.rows("SELECT count(*) FROM gallery_image")[0][0]
        send_zip(client)
        for number in range(PICTURES):
            file = {"file": (f"{number}.png", picture(number), "image/png")}
            assert client.post("/admin/gallery/image/add-many/file/", files=file).status_code == 201
            if number % (PICTURES // KILLS) == PICTURES // KILLS // 2:
                kill_one(stack)
        deadline = time.monotonic() + DECODED_S
        ready = "SELECT count(*) FROM gallery_image WHERE is_pending IS NOT TRUE AND problem = ''"
        while stack.rows(ready)[0][0] < before + PICTURES + ZIPPED:
            assert time.monotonic() < deadline, stack.rows(ready)
            time.sleep(1)
        assert stack.rows("SELECT added, known FROM gallery_zipimport") == [(ZIPPED, 0)]
        assert stack.rows("SELECT count(*) FROM gallery_image") == [(before + PICTURES + ZIPPED,)]
