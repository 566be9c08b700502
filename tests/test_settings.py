"""A mistake in an environment variable is one sentence that names the variable."""

import os
import runpy
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from simsearch import settings
from simsearch.env import DATA_DIR, Environment
from tests import fresh

NUMBERS = ["DATABASE_POOL", "THREADS", "BATCH", "ANSWER_LIMIT_S", "MAX_UPLOAD_BYTES", "MAX_IMPORT_BYTES", "MAX_PIXELS"]
NUMBERS += ["KEPT_PX", "MAX_WAITING", "UPLOADS_PER_MINUTE", "QUERY_TTL_S", "QUERY_SPACE", "DUPLICATE_SIMILARITY"]
SWITCHES = ["DEBUG", *(f"SIMSEARCH_{name}" for name in ("HTTPS", "KEEP_ORIGINALS", "WATCH_MIRROR", "FETCH_LINKS"))]
S3 = {"SIMSEARCH_STORAGE": "s3", "SIMSEARCH_S3_BUCKET": "pictures", "SIMSEARCH_S3_ENDPOINT": "http://minio:9000"}
MISTAKES = [
    *((f"SIMSEARCH_{name}", value) for name in NUMBERS for value in ("many", "-5", "")),
    *((name, value) for name in (*SWITCHES, "SIMSEARCH_PUBLIC_MAP") for value in ("perhaps", "")),
    *(("DATABASE_URL", value) for value in ("", "localhost", "some://where", "postgres://u:opensesame@host")),
    *(("DATABASE_URL", f"postgres://u:opensesame@host:{value}") for value in ("port/name", "5432")),
    *(("REDIS_URL", value) for value in ("", "localhost:6379", "redis://u:opensesame@host:port/0")),
    *(("ALLOWED_HOSTS", value) for value in ("", " , ", "https://search.example.org")),
    *(("SECRET_KEY", value) for value in ("", " ")),
    *(("FORWARDED_ALLOW_IPS", value) for value in ("nginx", "10.0.0.0/33", "10.0.0.1/8")),
    *((f"{name}_ORIGINS", "museum.example.org") for name in ("CSRF_TRUSTED", "SIMSEARCH_CORS", "SIMSEARCH_EMBED")),
    ("SIMSEARCH_CORS_ORIGINS", "https://museum.example.org/"),
    *(("SIMSEARCH_ACCEL_PREFIX", value) for value in ("_pictures", "/_pictures", "/")),
    *(("SIMSEARCH_DEVICE", value) for value in ("", "gpu", "cuda")),
    *((f"SIMSEARCH_{name}", value) for name in ("PORT", "FLOWER_PORT") for value in ("", "http", "65536")),
    *((f"SIMSEARCH_{name}", value) for name in ("SEARCH_CHILDREN", "WEB_WORKERS") for value in ("", "many", "0")),
    *(("LOG_LEVEL", value) for value in ("", "loud")),
    *((name, value) for name in ("SIMSEARCH_STORAGE", "SIMSEARCH_INDEX") for value in ("", "tape")),
]
MISTAKES_WITH_S3 = [
    *(("SIMSEARCH_S3_ENDPOINT", value) for value in ("", "minio:9000")),
    ("SIMSEARCH_S3_PUBLIC_ENDPOINT", "s3.example.org"),
    ("SIMSEARCH_S3_BUCKET", ""),
    *(("SIMSEARCH_S3_LINK_S", value) for value in ("", "0", "604801")),
]


@pytest.fixture(autouse=True)
def _same_umask() -> None:
    """Keep what the settings change in this process."""
    os.umask(0o077)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Return why the settings cannot be loaded."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as caught:
        runpy.run_path(settings.__file__)
    return str(caught.value)


@pytest.mark.parametrize(("name", "value"), MISTAKES)
def test_a_mistake_names_its_variable_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    line = refusal(monkeypatch, **{name: value})
    assert name in line
    assert "\n" not in line
    assert "opensesame" not in line


@pytest.mark.parametrize(("name", "value"), MISTAKES_WITH_S3)
def test_a_mistake_with_s3_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refusal(monkeypatch, **S3 | {name: value})


@pytest.mark.parametrize("file", ["", "nothing"])
def test_a_file_with_a_value_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    monkeypatch.setattr(Environment.ENVIRON, "files_cache", {})
    line = refusal(monkeypatch, DATABASE_URL_FILE=str(tmp_path / file))
    assert "DATABASE_URL_FILE" in line
    assert str(tmp_path / file) in line


def test_what_people_type_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = {"ALLOWED_HOSTS": "a.example.org, b.example.org ", "DEBUG": "False", "SIMSEARCH_HTTPS": "YES"}
    for name, value in (typed | {"STATIC_ROOT": "", "SIMSEARCH_BATCH": " 8\n"}).items():
        monkeypatch.setenv(name, value)
    loaded = runpy.run_path(settings.__file__)
    assert loaded["ALLOWED_HOSTS"] == ["a.example.org", "b.example.org"]
    assert (loaded["DEBUG"], loaded["HTTPS"], loaded["SIMSEARCH_BATCH"]) == (False, True, 8)
    assert loaded["STATIC_ROOT"] == str(DATA_DIR / "static")  # "" would be the folder of the code, emptied


@pytest.mark.parametrize("program", [["manage.py", "check"], ["-m", "simsearch.launch.prepare"]])
def test_a_command_ends_with_the_line(tmp_path: Path, program: list[str]) -> None:
    finished = fresh.python(*program, data_dir=tmp_path, SIMSEARCH_BATCH="many")
    assert finished.returncode == 1
    assert finished.stderr == "simsearch: SIMSEARCH_BATCH=many: give a whole number of at least 0.\n"


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finished = fresh.python("manage.py", "check", data_dir=tmp_path / "file")
    assert finished.returncode == 1
    [line] = finished.stderr.splitlines()
    assert f"{tmp_path}/file" in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_does_not_write_into_the_folder_of_another_account(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    finished = fresh.python("manage.py", "check", data_dir=tmp_path)
    assert finished.returncode == 1
    assert "sudo -u '#12345'" in finished.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_not_emptied_for_static_files(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("of another site")
    database = fresh.migrated(tmp_path / "data")
    static = {"STATIC_ROOT": str(tmp_path / "www")}
    prepare = ["-m", "simsearch.launch.prepare"]
    finished = fresh.python(*prepare, data_dir=tmp_path / "data", **database | static)
    assert finished.returncode == 1
    assert f"STATIC_ROOT={tmp_path}/www" in finished.stderr
    assert (tmp_path / "www" / "index.html").exists()
    (tmp_path / "www" / "index.html").unlink()
    for _ in "first time", "once more":
        assert not fresh.python(*prepare, data_dir=tmp_path / "data", **database | static).returncode
