"""The front page and what holds for every page."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from gallery.models import Query
from tests.api.answers import Response
from tests.engine.pictures import png
from tests.gallery.elements import HTMX, Elements, alert, heading, send
from tests.gallery.rows import STRANGER, add_image, ask, files_kept, finished, in_state, picture

pytestmark = pytest.mark.django_db


# Asking


def test_the_front_page_takes_a_picture(client: Client) -> None:
    add_image(1)
    add_image(2, is_hidden=True)
    response = client.get("/")
    page = Elements(response)
    assert response.status_code == 200
    assert [form["enctype"] for form in page.of("form") if "drop" in form["class"]] == ["multipart/form-data"]
    assert [field["name"] for field in page.of("input") if field["type"] == "file"] == ["image"]
    assert "image/*" in page.values("accept")[0]
    assert "see the ten most similar of 1 picture." in response.content.decode()
    assert alert(response) == ""


def test_a_picture_leads_to_the_page_of_its_query(client: Client) -> None:
    response = send(client, picture())
    query = Query.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/q/{query.pk}")
    assert query.upload_file.path.read_bytes() == picture()


def test_more_like_a_gallery_picture_is_a_query_too(client: Client) -> None:
    image = add_image()
    response = client.post(f"/gallery/{image.pk}/like")
    query = Query.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/q/{query.pk}")
    assert query.like == image
    assert image.preview_url in Elements(client.get(f"/q/{query.pk}")).values("src")


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 422, "The file is empty"),
        (b"no picture at all", 415, "The file is not a picture"),
        (png((30_000, 30_000), 8, 2, b""), 422, "The picture is too big"),
    ],
    ids=["empty", "text", "30000 pixels wide"],
)
def test_a_refused_picture_gets_a_sentence(client: Client, data: bytes, status: int, sentence: str) -> None:
    response = send(client, data)
    assert response.status_code == status
    assert sentence in alert(response)
    assert Query.objects.count() == 0
    assert files_kept() == []


@pytest.mark.parametrize("body_limit", [2**20, 1000])
def test_a_file_too_large_gets_a_sentence(client: Client, settings: Settings, body_limit: int) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES, settings.SIMSEARCH_MAX_BODY_BYTES = 1000, body_limit
    response = send(client, picture())
    assert response.status_code == 413
    assert "larger than" in alert(response)


def test_a_form_without_a_picture_gets_a_sentence(client: Client) -> None:
    response = client.post("/")
    assert response.status_code == 422
    assert "Choose a picture" in alert(response)


def test_a_busy_site_says_when_to_come_back(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_MAX_WAITING = 0
    response = send(client, picture())
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "try again" in alert(response)


def test_a_client_that_sends_too_many_has_to_wait(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 1
    assert send(client, picture()).status_code == 303
    response = send(client, picture())
    assert response.status_code == 429
    assert "wait" in alert(response)


def test_a_form_from_another_site_is_refused_with_a_page() -> None:
    response = send(Client(enforce_csrf_checks=True), picture())
    assert response.status_code == 403
    assert heading(response) == "That page was too old"


def test_the_form_on_the_page_of_a_refusal_can_be_sent(settings: Settings) -> None:
    settings.SIMSEARCH_MAX_BODY_BYTES = 1000
    client = Client(enforce_csrf_checks=True)
    client.get("/")
    refused = send(client, picture())
    settings.SIMSEARCH_MAX_BODY_BYTES = 2**20
    token = next(field["value"] for field in Elements(refused).of("input") if field["type"] == "hidden")
    sent = {"image": SimpleUploadedFile("picture.jpg", picture()), "csrfmiddlewaretoken": token}
    assert client.post("/", sent).status_code == 303


# Every page


@pytest.mark.parametrize("address", ["/q/{}/picture.jpg", "/gallery/{}", "/gallery/{}/picture.jpg", "/x"])
def test_a_stranger_gets_404(client: Client, address: str) -> None:
    response = client.get(address.format(STRANGER))
    assert response.status_code == 404
    assert heading(response) == "There is nothing here"


@pytest.mark.parametrize("address", ["/q/{}", "/q/{}?crop=0,0,1,1"])
def test_a_search_that_expired_says_so(client: Client, settings: Settings, address: str) -> None:
    settings.SIMSEARCH_QUERY_TTL_S = 3 * 24 * 3600
    response = client.get(address.format(STRANGER))
    assert response.status_code == 404
    assert heading(response) == "This search is no longer here"
    assert "searches are kept for 3\xa0days" in response.content.decode()
    assert "/" in Elements(response).values("href")


@pytest.fixture
def every_page(client: Client) -> dict[str, Response]:
    empty = client.get("/gallery/")
    image = add_image(label="cat", title="Tom")
    rows = {"running": in_state("running")[0], "failed": in_state("failed")[0], "done": finished(image)}
    rows["waiting"] = ask(crop=(0, 0, 0.5, 1))
    return {name: client.get(f"/q/{query.pk}") for name, query in rows.items()} | {
        "home": client.get("/"),
        "refused": send(client, b""),
        "part": client.get(f"/q/{rows['done'].pk}", headers=HTMX),
        "empty": empty,
        "gallery": client.get("/gallery/"),
        "image": client.get(image.get_absolute_url()),
        "not found": client.get("/x"),
        "forbidden": send(Client(enforce_csrf_checks=True), b""),
    }


def test_no_page_asks_another_host_for_anything(every_page: dict[str, Response]) -> None:
    for name, response in every_page.items():
        page = Elements(response)
        addresses = [a for attribute in ("src", "href", "action", "srcset") for a in page.values(attribute)]
        assert addresses, name
        assert [address for address in addresses if re.match(r"(\w+:)?//", address)] == [], name


def test_every_page_would_keep_a_strict_content_security_policy(every_page: dict[str, Response]) -> None:
    for name, response in every_page.items():
        page = Elements(response)
        assert [script for script in page.of("script") if "src" not in script] == [], name
        assert not page.of("style"), name
        assert not page.values("style"), name
        assert [a for _, attributes in page.found for a in attributes if a.startswith("on")] == [], name


def test_every_picture_has_words_and_every_page_one_heading(every_page: dict[str, Response]) -> None:
    for name, response in every_page.items():
        page = Elements(response)
        assert all(img.get("alt") for img in page.of("img")), name
        assert len(page.of("h1")) == 1, name
