"""`docker/make-secrets.sh`, run for real, and what Django makes of its files."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import fresh
from tests.docker import files
from tests.docker.files import DOCKER

SCRIPT = DOCKER / "make-secrets.sh"
SHOW = """
from django.conf import settings
database = settings.DATABASES["default"]
print(settings.SECRET_KEY, database["ENGINE"], database["HOST"], database["NAME"], database["PASSWORD"])
print(settings.REDIS_URL, settings.CELERY_BROKER_URL)
"""


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(SCRIPT), str(folder)], capture_output=True, text=True)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    made = make(tmp_path / "secrets")
    assert made.returncode == 0, made.stderr
    return tmp_path / "secrets"


def test_the_linter_has_nothing_to_say_of_the_shell() -> None:
    texts = {path.name: path.read_text() for path in DOCKER.glob("*.sh")}
    bucket, milvus = (files.compose("compose.cluster.yaml")["services"][name] for name in ("bucket", "milvus"))
    texts["bucket"], texts["milvus"] = (one["entrypoint"][-1].replace("$$", "$") for one in (bucket, milvus))
    texts["redis"] = files.services()["redis"]["command"][-1].replace("$$", "$")
    texts["redis is well"] = files.services()["redis"]["healthcheck"]["test"][1].replace("$$", "$")
    for name, text in texts.items():
        linted = files.tool("shellcheck", "--shell=sh", "-", text=text)
        assert linted.returncode == 0, f"{name}: {linted.stdout}"


def test_every_secret_of_the_compose_file_is_made(secrets: Path) -> None:
    named = files.compose()["secrets"] | files.compose("compose.cluster.yaml")["secrets"]
    assert {path.name for path in secrets.iterdir()} == named.keys()
    assert not [path for path in secrets.iterdir() if path.read_text() != path.read_text().strip()]


def test_the_folder_is_the_owners_and_the_files_are_readable_inside_a_container(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}


def test_the_addresses_have_the_passwords_that_the_stores_are_given(secrets: Path) -> None:
    for address, password in (("database_url", "postgres_password"), ("redis_url", "redis_password")):
        assert urlsplit((secrets / address).read_text()).password == (secrets / password).read_text()


def test_no_two_installations_share_a_secret(secrets: Path, tmp_path: Path) -> None:
    make(tmp_path / "others")
    texts = [path.read_text() for folder in (secrets, tmp_path / "others") for path in folder.iterdir()]
    assert len(set(texts)) == len(texts)
    assert min(map(len, texts)) >= 64


def test_secrets_that_are_there_are_kept(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    again = make(secrets)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


def test_an_interrupted_attempt_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "secrets.new").mkdir()
    (tmp_path / "secrets.new" / "secret_key").write_text("half")
    assert make(tmp_path / "secrets").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]


def test_django_reads_the_files(secrets: Path, tmp_path: Path) -> None:
    variables = {
        key: value.replace("/run/secrets", str(secrets))
        for key, value in files.services()["web"]["environment"].items()
        if key.endswith("_FILE")
    }
    script = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'simsearch.settings'\n" + SHOW
    secret, engine, host, name, password, redis_url, broker = fresh.run(script, tmp_path, **variables).split()
    assert secret == (secrets / "secret_key").read_text()
    assert (engine, host, name) == ("django.db.backends.postgresql", "postgres", "simsearch")
    assert password == (secrets / "postgres_password").read_text()
    assert redis_url == broker == (secrets / "redis_url").read_text()
