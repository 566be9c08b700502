"""GET /metrics: who may read it."""

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from tests import fresh
from tests.gallery.conftest import curator, member, visitor

__all__ = ["curator", "member", "visitor"]

pytestmark = pytest.mark.django_db

TOKEN = "correct horse battery staple"


def ask(client: Client, token: str = "", **environ: str) -> int:
    return client.get("/metrics", headers={"Authorization": token} if token else {}, **environ).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_may(visitor: Client, address: str) -> None:
    assert ask(visitor, REMOTE_ADDR=address) == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "", "unix:"])
def test_without_a_token_no_other_machine_may(visitor: Client, address: str) -> None:
    assert ask(visitor, REMOTE_ADDR=address) == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_what_came_through_a_proxy_did_not_come_from_this_machine(visitor: Client, header: str) -> None:
    assert visitor.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.7"])
def test_with_the_token_a_client_may_from_anywhere(visitor: Client, settings: Settings, address: str) -> None:
    settings.SIMSEARCH_METRICS_TOKEN = TOKEN
    assert ask(visitor, f"Bearer {TOKEN}", REMOTE_ADDR=address) == 200


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}s", "Bearer ü"]
)
def test_with_a_token_no_client_may_without_it(visitor: Client, settings: Settings, sent: str) -> None:
    settings.SIMSEARCH_METRICS_TOKEN = TOKEN
    response = visitor.get("/metrics", headers={"Authorization": sent} if sent else {})
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    assert b"simsearch_" not in response.content


@pytest.mark.parametrize("token", ["", TOKEN])
def test_the_staff_may_and_a_member_may_not(curator: Client, member: Client, settings: Settings, token: str) -> None:
    settings.SIMSEARCH_METRICS_TOKEN = token
    assert ask(curator, REMOTE_ADDR="192.0.2.7") == 200
    assert ask(member, REMOTE_ADDR="192.0.2.7") in {401, 403}


def test_a_scrape_on_this_machine_is_not_sent_to_https(visitor: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/gallery/").status_code == 301  # so that it was on in earnest
    assert ask(Client()) == 200


def test_the_token_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    script = "from django.conf import settings; from simsearch import celery; print(settings.SIMSEARCH_METRICS_TOKEN)"
    assert fresh.run(script, tmp_path, SIMSEARCH_METRICS_TOKEN_FILE=str(tmp_path / "token")) == f"{TOKEN}\n"
