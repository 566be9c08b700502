"""Behind nginx: whose word is taken, who may see Flower, and who sends the pictures."""

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from pytest_django import Settings

from tests.api.answers import Response, file
from tests.gallery.elements import send
from tests.gallery.rows import add_image, finished, picture

pytestmark = pytest.mark.django_db


# The visitor's address


@pytest.fixture
def one_upload_each(settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 1


def status(said: str, proxy: str = "127.0.0.1", trusted: str = "127.0.0.1,10.0.0.0/8") -> int:
    with override_settings(TRUSTED_PROXIES=trusted.split(",")):
        visitor = Client(REMOTE_ADDR=proxy, HTTP_X_FORWARDED_FOR=said)
        return send(visitor, picture()).status_code


@pytest.mark.parametrize("proxy", ["127.0.0.1", "10.1.2.3"])
@pytest.mark.usefixtures("one_upload_each")
def test_visitors_behind_a_trusted_proxy_are_distinguished(proxy: str) -> None:
    assert status("203.0.113.1", proxy) == 303
    assert status("2001:db8::1", proxy) == 303
    assert status("203.0.113.1", proxy) == 429


@pytest.mark.usefixtures("one_upload_each")
def test_what_the_visitor_wrote_into_the_header_himself_does_not_count() -> None:
    assert status("203.0.113.1") == 303
    assert status("203.0.113.2, 203.0.113.1") == 429


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "192.0.2.1"])
@pytest.mark.usefixtures("one_upload_each")
def test_the_header_of_anybody_else_does_not_count(trusted: str) -> None:
    assert status("203.0.113.1", trusted=trusted) == 303
    assert status("203.0.113.2", trusted=trusted) == 429


@pytest.mark.parametrize("said", ["", "nobody", "203.0.113.1, ", "127.0.0.1:80"])
@pytest.mark.usefixtures("one_upload_each")
def test_what_is_no_address_does_not_count(said: str) -> None:
    assert status(said) == 303
    assert status("") == 429


@pytest.mark.parametrize(
    "same", ["::ffff:203.0.113.1", "::FFFF:cb00:7101", "64:ff9b::203.0.113.1", "64:ff9b::cb00:7101"]
)
@pytest.mark.usefixtures("one_upload_each")
def test_an_ipv4_address_that_comes_as_ipv6_is_that_address(same: str) -> None:
    assert status(same) == 303
    assert status("203.0.113.1") == 429
    assert status(same.replace("7101", "7102").replace(".1", ".2")) == 303  # its neighbour is somebody else
    assert status("", proxy=same) == 429


@pytest.mark.parametrize("proxy", ["::ffff:127.0.0.1", "64:ff9b::10.1.2.3"])
@pytest.mark.parametrize("trusted", ["127.0.0.1,10.0.0.0/8", "::ffff:127.0.0.1,::ffff:10.0.0.0/104"])
@pytest.mark.usefixtures("one_upload_each")
def test_a_trusted_proxy_is_known_in_either_spelling(proxy: str, trusted: str) -> None:
    assert status("203.0.113.1", proxy, trusted) == 303
    assert status("203.0.113.2", proxy, trusted) == 303
    assert status("203.0.113.2", proxy, trusted) == 429


@pytest.mark.usefixtures("one_upload_each")
def test_everybody_is_trusted_when_the_operator_says_so() -> None:
    assert status("203.0.113.1", "198.51.100.1", trusted="*") == 303
    assert status("203.0.113.2", "198.51.100.1", trusted="*") == 303


def test_no_proxy_is_trusted_unless_the_operator_says_so(settings: Settings) -> None:
    assert settings.TRUSTED_PROXIES == []


# nginx's question


def test_the_staff_question_is_answered_by_status(client: Client) -> None:
    assert client.get("/staff").status_code == 401
    client.force_login(User.objects.create_user("reader"))
    assert client.get("/staff").status_code == 403
    client.force_login(User.objects.create_user("curator", is_staff=True))
    answer = client.get("/staff")
    assert answer.status_code == 204
    assert "no-store" in answer["Cache-Control"]


def test_a_session_of_somebody_who_was_staff_is_refused(client: Client) -> None:
    curator = User.objects.create_user("curator", is_staff=True)
    client.force_login(curator)
    User.objects.update(is_active=False)
    assert client.get("/staff").status_code == 401


@pytest.mark.parametrize("address", ["/healthz", "/staff"])
def test_machines_are_not_sent_to_https(client: Client, settings: Settings, address: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/gallery/").status_code == 301
    assert client.get(address).status_code in {200, 401}


# Pictures


def test_pictures_are_left_to_nginx_where_there_is_one(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_ACCEL_PREFIX = "/_pictures/"
    image, query = add_image(), finished()
    for address, path in [
        (image.picture_url, image.picture_file.path),
        (image.thumbnail_url, image.thumbnail_file.path),
        (str(query.picture_url), query.picture_file.path),
    ]:
        answer = client.get(address)
        assert answer.content == b""
        assert answer["X-Accel-Redirect"] == f"/_pictures/{path.relative_to(settings.MEDIA_ROOT)}"
        assert answer["Content-Type"] == "image/jpeg"


def test_a_hidden_or_missing_picture_is_not_left_to_nginx(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_ACCEL_PREFIX = "/_pictures/"
    hidden, missing = add_image(1, is_hidden=True), add_image(2)
    missing.picture_file.path.unlink()
    for image in (hidden, missing):
        answer = client.get(image.picture_url)
        assert answer.status_code == 404
        assert "X-Accel-Redirect" not in answer


def sent(client: Client, address: str) -> Response:
    """Return the answer, with its file read to the end."""
    answer = client.get(address)
    assert file(answer)
    return answer


def test_without_nginx_the_pictures_are_sent_with_the_same_safety(client: Client) -> None:
    answer = sent(client, add_image().thumbnail_url)
    assert "X-Accel-Redirect" not in answer
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_gallery_picture_is_kept_for_ever_and_an_upload_for_an_hour(client: Client) -> None:
    assert "immutable" in sent(client, add_image().thumbnail_url)["Cache-Control"]
    uploaded = sent(client, str(finished().picture_url))["Cache-Control"]
    assert "immutable" not in uploaded
    assert "max-age=3600" in uploaded
