"""simsearch on other sites: CORS, the search box, and the client in docs/client.py."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from tests import fresh
from tests.demo import jpeg
from tests.gallery.rows import picture, uploaded
from tests.stack import ROOT, Stack

MUSEUM = "https://museum.example.org"
STARTED = """
import django, json, sys
django.setup()
from django.test import Client
client = Client(headers={"origin": sys.argv[1]})
told = [client.get(path) for path in ("/api/images", "/api/queries/x", "/healthz", "/")]
preflight = client.options("/api/queries", headers={"access-control-request-method": "POST"})
print(json.dumps([answer.headers.get("access-control-allow-origin") for answer in [*told, preflight]]))
print(json.dumps([answer.headers.get("access-control-allow-credentials") for answer in [*told, preflight]]))
"""


def allowed(tmp_path: Path, origin: str, **environment: str) -> tuple[str, str]:
    """Return what a site with this configuration says to a page of `origin`."""
    known = {"SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "testserver", "SIMSEARCH_HTTPS": "off"}
    known |= {"DJANGO_SETTINGS_MODULE": "simsearch.settings", "DEBUG": "on"}
    known |= fresh.migrated(tmp_path) | environment
    run = subprocess.run(
        [sys.executable, "-c", STARTED, origin], cwd=ROOT, env=known, capture_output=True, text=True, check=True
    )
    origins, credentials = run.stdout.splitlines()[-2:]
    return origins, credentials


def test_no_other_site_may_read_the_api_by_default(tmp_path: Path) -> None:
    assert allowed(tmp_path, MUSEUM)[0] == "[null, null, null, null, null]"


def test_a_named_origin_may_read_the_api_alone_and_without_cookies(tmp_path: Path) -> None:
    origins, credentials = allowed(tmp_path, MUSEUM, SIMSEARCH_CORS_ORIGINS=MUSEUM)
    assert origins == f'["{MUSEUM}", "{MUSEUM}", null, null, "{MUSEUM}"]'
    assert credentials == "[null, null, null, null, null]"


def test_another_origin_than_the_named_one_may_not(tmp_path: Path) -> None:
    origins, _ = allowed(tmp_path, "https://evil.example.org", SIMSEARCH_CORS_ORIGINS=MUSEUM)
    assert origins == "[null, null, null, null, null]"


@pytest.mark.parametrize("address", ["/embed", "/embed.js"])
def test_there_is_no_box_by_default(client: Client, db: None, address: str) -> None:
    assert client.get(address).status_code == 404
    assert client.post(address, {"image": uploaded(picture())}).status_code in {404, 405}
    assert not Query.objects.exists()


@pytest.fixture
def _box(settings: Settings, db: None) -> None:
    settings.SIMSEARCH_EMBED_ORIGINS = [MUSEUM]


@pytest.mark.usefixtures("_box")
def test_the_box_may_be_framed_by_the_named_sites_alone(client: Client) -> None:
    response = client.get("/embed")
    assert response.status_code == 200
    assert f"frame-ancestors {MUSEUM}" in response["Content-Security-Policy"]
    assert "X-Frame-Options" not in response
    home = client.get("/")
    assert "frame-ancestors 'none'" in home["Content-Security-Policy"]
    assert home["X-Frame-Options"] == "DENY"


@pytest.mark.usefixtures("_box")
def test_a_picture_from_the_box_is_searched_without_a_cookie() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/embed", {"image": uploaded(picture())}, headers={"origin": MUSEUM})
    assert (response.status_code, response["Location"]) == (303, Query.objects.get().get_absolute_url())


@pytest.mark.usefixtures("_box")
def test_the_box_says_what_is_wrong(client: Client) -> None:
    response = client.post("/embed", {"image": uploaded(b"no picture")})
    assert (response.status_code, 'role="alert">' in response.content.decode()) == (415, True)
    empty = client.post("/embed")
    assert (empty.status_code, "Choose a picture first." in empty.content.decode()) == (422, True)


@pytest.mark.usefixtures("_box")
def test_the_script_of_the_box_is_one(client: Client) -> None:
    response = client.get("/embed.js")
    assert response["Content-Type"].startswith("text/javascript")
    assert 'new URL("embed", document.currentScript.src)' in response.content.decode()


# The client


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """Return a copy of the documented client."""
    return Path(shutil.copy(ROOT / "docs" / "client.py", tmp_path))


def test_the_client_is_short_and_typed(documented: Path) -> None:
    lines = [line for line in documented.read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
    subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null", documented.name],
        cwd=documented.parent,
        check=True,
    )


def test_the_client_finds_a_picture(documented: Path, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "clock.jpg").write_bytes(jpeg("clock", 0))
    program = (
        f"from pathlib import Path; from client import search; print(search('{stack.url}', Path('clock.jpg'), k=3))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.count("'similarity'") >= 3
    assert "clock" in run.stdout
