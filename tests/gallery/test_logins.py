"""Signing in to the admin: six wrong passwords in a minute are one too many."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from gallery.errors import Refusal
from gallery.queries import throttle
from tests.api.answers import Response

pytestmark = pytest.mark.django_db

PASSWORD = "the right one"


@pytest.fixture(autouse=True)
def _accounts() -> None:
    for name in ("ada", "grace"):
        User.objects.create_superuser(name, password=PASSWORD)


def log_in(name: str, password: str, address: str = "192.0.2.1") -> Response:
    return Client(REMOTE_ADDR=address).post("/admin/login/", {"username": name, "password": password})


def test_the_sixth_wrong_password_in_a_minute_is_429() -> None:
    answers = [log_in("ada", f"guess {number}") for number in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert int(answers[5]["Retry-After"]) > 0
    assert "Too many wrong passwords" in answers[5].content.decode()


def test_the_right_password_within_the_limit_works_and_starts_the_accounts_count_anew() -> None:
    for at in range(3):
        client = f"192.0.2.{at}"
        assert [log_in("ada", "wrong", client).status_code for _ in range(4)] == [200] * 4
        assert log_in("ada", PASSWORD, client).status_code == 302


def test_a_right_password_does_not_start_the_clients_count_anew() -> None:
    for at in range(5):
        assert log_in("ada", PASSWORD).status_code == 302
        assert log_in(f"name {at}", "wrong").status_code == 200
    assert log_in("name 5", "wrong").status_code == 429


def test_right_passwords_do_not_count_against_a_client() -> None:
    assert {log_in("ada", PASSWORD).status_code for _ in range(8)} == {302}


def test_beyond_the_limit_not_even_the_right_password_tells_that_it_is_right() -> None:
    for _ in range(5):
        log_in("ada", "wrong")
    assert log_in("ada", PASSWORD).status_code == 429


def test_one_account_is_guarded_against_many_addresses() -> None:
    statuses = [log_in(name, "wrong", f"192.0.2.{at}").status_code for at, name in enumerate(["ada", "ADA"] * 3)]
    assert statuses == [200] * 5 + [429]
    assert log_in("grace", PASSWORD, "192.0.2.200").status_code == 302


def test_one_address_cannot_try_many_accounts() -> None:
    assert [log_in(f"name {at}", "wrong").status_code for at in range(6)] == [200] * 5 + [429]
    assert log_in("grace", PASSWORD, "192.0.2.200").status_code == 302


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    statuses = [log_in(f"name {at}", "wrong", f"2001:db8::{at}").status_code for at in range(6)]
    assert statuses == [200] * 5 + [429]
    assert log_in("grace", PASSWORD, "2001:db8:0:1::1").status_code == 302


def test_ipv4_addresses_that_come_as_ipv6_are_distinguished() -> None:
    statuses = [log_in(f"name {at}", "wrong", f"::ffff:192.0.2.{at}").status_code for at in range(6)]
    assert statuses == [200] * 6


def test_uploads_are_counted_by_ipv6_network_too(settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 1
    throttle.check("2001:db8::1")
    with pytest.raises(Refusal):
        throttle.check("2001:db8::2")
    throttle.check("2001:db8:0:1::1")


STRANGE = ["", "\0", "a" * 10_000, "\u202eada", "ada\r\nX-Injected: 1", "<script>alert(1)</script>"]


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_a_wrong_one(name: str) -> None:
    answer = log_in(name, "wrong")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.content.decode()
    assert "X-Injected" not in answer
