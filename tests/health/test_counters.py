"""GET /metrics: what has happened so far."""

import io
import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from gallery.queries import lifecycle
from tests.engine.pictures import encoded, scene
from tests.gallery.rows import add_image, answer, ask, finish
from tests.health.test_metrics import scrape
from tests.responses import end

pytestmark = pytest.mark.django_db


def counted(client: Client, act: Callable[[], object]) -> dict[str, float]:
    """Return what `act` adds to the counters; what was not there before began at zero."""
    before = scrape(client)
    act()
    after = scrape(client)
    changes = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name: value for name, value in changes.items() if value}


def uploads(changes: dict[str, float]) -> dict[str, float]:
    prefix = "simsearch_uploads_total "
    return {name.removeprefix(prefix): value for name, value in changes.items() if name.startswith(prefix)}


def upload(client: Client, path: str, data: bytes) -> int:
    return client.post(path, {"image": io.BytesIO(data)}).status_code


@pytest.mark.parametrize("path", ["/", "/api/queries"])
def test_uploads_are_counted_by_outcome(client: Client, settings: Settings, path: str) -> None:
    picture = encoded(scene(), "JPEG")

    def act() -> None:
        assert [upload(client, path, data) for data in (picture, picture)] in ([303, 303], [202, 202])
        assert upload(client, path, b"not a picture") == 415
        client.post(path)
        settings.SIMSEARCH_MAX_WAITING = 0
        assert upload(client, path, picture) == 503

    expected = {"accepted": 2, "unsupported_format": 1, "empty": 1, "busy": 1}
    assert uploads(counted(client, act)) == expected


@pytest.mark.parametrize("path", ["/", "/api/queries"])
def test_a_body_over_the_limit_is_counted(client: Client, settings: Settings, path: str) -> None:
    settings.SIMSEARCH_MAX_BODY_BYTES = 1000
    assert uploads(counted(client, lambda: upload(client, path, bytes(5000)))) == {"too_large": 1}


def test_a_throttled_upload_is_counted(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 0
    assert uploads(counted(client, lambda: upload(client, "/api/queries", encoded(scene(), "JPEG")))) == {
        "throttled": 1
    }


def test_a_question_about_a_gallery_picture_is_counted(client: Client) -> None:
    image = add_image(1)
    assert uploads(counted(client, lambda: client.post(f"/gallery/{image.pk}/like"))) == {"accepted": 1}


def test_a_refused_form_is_counted_as_an_error(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert uploads(counted(strict, lambda: upload(strict, "/", encoded(scene(), "JPEG")))) == {"error": 1}


def test_looking_is_no_upload(client: Client) -> None:
    query = ask()
    changes = counted(
        client, lambda: [client.get("/"), client.get(f"/q/{query.pk}"), client.get(f"/api/queries/{uuid.uuid4()}")]
    )
    assert uploads(changes) == {}


def test_queries_are_counted_when_they_come_to_their_end(client: Client) -> None:
    def act() -> None:
        done, bad, _broken = ask(1), ask(2), ask(3)
        claim = lifecycle.claim(3)
        finish(claim.token, {done: answer()})
        finish(claim.token, {done: answer()})  # too late: it has ended
        lifecycle.fail(claim.token, bad, "corrupt", "The picture is damaged.")
        lifecycle.fail(claim.token, bad, "corrupt", "The picture is damaged.")
        for _ in range(lifecycle.MAX_ATTEMPTS):
            lifecycle.requeue(claim.token)
            claim = lifecycle.claim(1)

    changes = counted(client, act)
    assert {name: value for name, value in changes.items() if name.startswith("simsearch_answers")} == {
        "simsearch_answers_total  done": 1,
        "simsearch_answers_total corrupt failed": 1,
        "simsearch_answers_total gave_up failed": 1,
    }
    assert Query.objects.filter(state="waiting").count() == 0


def test_requests_are_counted_by_view_and_never_by_path(client: Client) -> None:
    query = ask()

    def act() -> None:
        client.get(f"/q/{query.pk}")
        client.get(f"/q/{uuid.uuid4()}")
        client.get(f"/nowhere/{uuid.uuid4()}")
        client.generic("BREW", "/")
        end(client.get("/static/gallery/style.css"))

    changes = counted(client, act)
    requests = {name.split(" ", 1)[1]: value for name, value in changes.items() if "http_requests" in name}
    assert requests.pop("GET 200 metrics") == 1  # that one of the scrape before
    assert requests == {
        "GET 200 query": 1,
        "GET 404 query": 1,
        "GET 404 unresolved": 1,
        "other 405 home": 1,
        "GET 200 static": 1,
    }
    assert changes["simsearch_http_request_duration_seconds_count query"] == 2
    assert not any(str(query.pk) in name for name in scrape(client))
