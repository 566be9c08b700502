"""The secret is made once; what depends on the start is written anew; what a person added stays."""

import stat
from pathlib import Path

from simsearch.launch import env_file
from simsearch.launch.preflight import socket_directory
from tests.local.starter import one_clear_line, python, start

LOOPBACK = "localhost,127.0.0.1,[::1]"


def test_the_secret_stays_the_same_across_starts(tmp_path: Path) -> None:
    first = env_file.establish(tmp_path, "127.0.0.1", "unix:///one.sock")
    second = env_file.establish(tmp_path, "127.0.0.1", "unix:///two.sock")
    assert len(first["SECRET_KEY"]) >= 50
    assert second["SECRET_KEY"] == first["SECRET_KEY"]
    assert env_file.read(tmp_path / "simsearch.env") == second
    assert second["REDIS_URL"] == "unix:///two.sock"


def test_two_installations_have_different_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = (env_file.establish(tmp_path / name, "127.0.0.1", None) for name in "ab")
    assert a["SECRET_KEY"] != b["SECRET_KEY"]


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    for _ in range(2):
        env_file.establish(tmp_path, "127.0.0.1", None)
        assert stat.S_IMODE((tmp_path / "simsearch.env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["simsearch.env"]


def test_a_line_that_a_person_added_stays(tmp_path: Path) -> None:
    env_file.establish(tmp_path, "127.0.0.1", None)
    with (tmp_path / "simsearch.env").open("a") as file:
        file.write("SIMSEARCH_MODEL=alexnet\n")
    assert env_file.establish(tmp_path, "::1", "unix:///one.sock")["SIMSEARCH_MODEL"] == "alexnet"
    assert env_file.read(tmp_path / "simsearch.env")["SIMSEARCH_MODEL"] == "alexnet"


def test_comments_and_quotes_that_a_person_added_mean_what_manage_py_takes_them_for(tmp_path: Path) -> None:
    env_file.establish(tmp_path, "127.0.0.1", None)
    with (tmp_path / "simsearch.env").open("a") as file:
        file.write("# our camera\nSIMSEARCH_WATCH='/srv/my photos'\n")
    assert env_file.establish(tmp_path, "::1", "unix:///one.sock")["SIMSEARCH_WATCH"] == "/srv/my photos"
    assert "# our camera\nSIMSEARCH_WATCH='/srv/my photos'\n" in (tmp_path / "simsearch.env").read_text()


def test_an_embedded_redis_of_an_earlier_start_is_forgotten(tmp_path: Path) -> None:
    env_file.establish(tmp_path, "127.0.0.1", "unix:///one.sock")
    assert "REDIS_URL" not in env_file.establish(tmp_path, "127.0.0.1", None)


def test_the_site_answers_to_the_address_it_listens_on() -> None:
    assert ",".join(env_file.allowed_hosts("127.0.0.1")) == LOOPBACK
    assert env_file.allowed_hosts("photos.lan")[-1] == "photos.lan"
    assert env_file.allowed_hosts("fd00::7")[-1] == "[fd00::7]"
    everywhere = env_file.allowed_hosts("0.0.0.0")
    assert len(everywhere) > 3
    assert "*" not in everywhere


def test_a_command_typed_by_hand_reads_the_file(tmp_path: Path) -> None:
    one_clear_line(start(tmp_path, "--port", "8000", SIMSEARCH_MODEL="resnet51"))  # comes as far as the file
    written = env_file.read(tmp_path / "simsearch.env")
    shell = python(
        tmp_path,
        "manage.py",
        "shell",
        "-v0",
        "-c",
        "from django.conf import settings as s; print(s.SECRET_KEY, s.REDIS_URL)",
    )
    assert shell.stdout.split() == [written["SECRET_KEY"], f"unix://{socket_directory(tmp_path)}/redis.sock"]
