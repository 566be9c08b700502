"""POST /api/queries with `url`, and the field of the page."""

import pytest
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from gallery.queries import accept
from gallery.queries.links import LINK_COST
from tests.api.answers import error_code
from tests.gallery.rows import add_image, files_kept, picture, uploaded

pytestmark = pytest.mark.django_db

LINK = "https://pictures.example.org/a.jpg"


def test_a_link_becomes_a_waiting_query_and_the_web_fetches_nothing(client: Client) -> None:
    response = client.post("/api/queries", {"url": LINK, "k": "3"})
    assert (response.status_code, response.json()["state"]) == (202, "waiting")
    query = Query.objects.get()
    assert (query.link, query.has_picture, query.k) == (LINK, True, 3)
    assert files_kept() == []


def test_a_link_and_gallery_pictures_are_one_query(client: Client) -> None:
    image = add_image(4)
    assert client.post("/api/queries", {"url": LINK, "unlike": str(image.pk)}).status_code == 202
    assert [(part.image, part.is_negative) for part in Query.objects.get().further] == [(image, True)]


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1/a.jpg",
        "http://2130706433/",
        "https://10.1.2.3/a.jpg",
        "http://[::1]/",
        "http://localhost/",
        "http://example.org:6379/",
        "https://me:secret@example.org/a.jpg",
        "file:///etc/passwd",
        "no link",
    ],
)
def test_what_its_text_shows_is_refused_at_once(client: Client, link: str) -> None:
    response = client.post("/api/queries", {"url": link})
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert "secret" not in response.content.decode()
    assert not Query.objects.exists()


def test_a_site_may_turn_links_off(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_FETCH_LINKS = False
    response = client.post("/api/queries", {"url": LINK})
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert "does not fetch pictures by link" in response.json()["error"]["message"]


def test_links_are_fetched_unless_the_operator_says_otherwise(settings: Settings) -> None:
    assert settings.SIMSEARCH_FETCH_LINKS is True


def test_a_link_counts_as_several_uploads(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 2 * LINK_COST
    assert [client.post("/api/queries", {"url": LINK}).status_code for _ in range(3)] == [202, 202, 429]


@pytest.mark.parametrize(("state", "status"), [("running", 503), ("waiting", 503), ("done", 202)])
def test_the_links_that_wait_to_be_fetched_are_bounded(client: Client, state: str, status: int) -> None:
    Query.objects.bulk_create(
        Query(has_picture=True, link="https://example.org/a.jpg", state=state) for _ in range(accept.MOST_LINKS)
    )
    refused = client.post("/api/queries", {"url": "https://example.org/b.jpg"})
    assert refused.status_code == status
    assert client.post("/api/queries", {"image": uploaded(picture())}).status_code == 202


def test_the_page_takes_a_link(client: Client) -> None:
    response = client.post("/", {"url": f" {LINK} "})
    query = Query.objects.get()
    assert (response.status_code, response["Location"], query.link) == (303, query.get_absolute_url(), LINK)


def test_the_page_says_what_is_wrong_with_a_link(client: Client) -> None:
    response = client.post("/", {"url": "http://127.0.0.1/a.jpg"})
    assert (response.status_code, "Only public addresses are tried" in response.content.decode()) == (422, True)
