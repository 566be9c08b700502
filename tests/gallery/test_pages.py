"""The pages that people see."""

import re
from html.parser import HTMLParser

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from gallery import queries
from gallery.models import Image, Query
from gallery.views import PAGE_SIZE
from tests.api.answers import Response, file
from tests.engine.pictures import png
from tests.gallery.rows import STRANGER, add_image, ask, files_kept, finished, picture

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


class Elements(HTMLParser):
    """The elements of a page: (tag, attributes), in order."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.found if found == tag]

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.found if name in attributes]


def send(client: Client, data: bytes) -> Response:
    """Post a file that calls itself a JPEG, whatever it is."""
    return client.post("/", {"image": SimpleUploadedFile("picture.jpg", data, "image/jpeg")})


def alert(response: Response) -> str:
    """The sentence that says what went wrong."""
    match = re.search(r'role="alert">([^<]*)<', response.content.decode())
    assert match, "the page has no place for an error"
    return match[1]


def heading(response: Response) -> str:
    match = re.search(r"<h1[^>]*>([^<]*)</h1>", response.content.decode())
    assert match, "the page has no heading"
    return match[1]


def failed() -> Query:
    query = ask()
    queries.fail(queries.claim(1).token, query, "corrupt", "The picture is damaged; send another one.")
    query.refresh_from_db()
    return query


def running() -> Query:
    query = ask()
    queries.claim(1)
    query.refresh_from_db()
    return query


# Asking


def test_the_front_page_takes_a_picture(client: Client) -> None:
    add_image(1)
    add_image(2, is_hidden=True)
    response = client.get("/")
    page = Elements(response)
    assert response.status_code == 200
    assert [form["enctype"] for form in page.of("form")] == ["multipart/form-data"]
    assert [field["name"] for field in page.of("input") if field["type"] == "file"] == ["image"]
    assert "image/*" in page.values("accept")[0]
    assert "ten of 1 gallery" in response.content.decode()
    assert alert(response) == ""


def test_a_picture_leads_to_the_page_of_its_query(client: Client) -> None:
    response = send(client, picture())
    query = Query.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/q/{query.pk}")
    assert file(client.get(f"/q/{query.pk}/picture.jpg")) == query.picture_path.read_bytes()


def test_more_like_a_gallery_picture_is_a_query_too(client: Client) -> None:
    image = add_image()
    response = client.post(f"/gallery/{image.pk}/like")
    query = Query.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/q/{query.pk}")
    assert query.like == image
    assert image.picture_url in Elements(client.get(f"/q/{query.pk}")).values("src")


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 422, "The file is empty"),
        (b"no picture at all", 415, "The file is not a picture"),
        (picture()[:-800], 422, "The picture is damaged"),
        (png((30_000, 30_000), 8, 2, b""), 422, "The picture is too big"),
    ],
    ids=["empty", "text", "truncated", "30000 pixels wide"],
)
def test_a_refused_picture_gets_a_sentence(client: Client, data: bytes, status: int, sentence: str) -> None:
    response = send(client, data)
    assert response.status_code == status
    assert sentence in alert(response)
    assert Query.objects.count() == 0
    assert files_kept() == []


@pytest.mark.parametrize("body_limit", [2**20, 1000])
def test_a_file_too_large_gets_a_sentence(client: Client, settings: Settings, body_limit: int) -> None:
    settings.SIMSEARCH_MAX_UPLOAD_BYTES, settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000, body_limit
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


def test_a_client_that_sends_too_many_is_told_to_wait(client: Client, settings: Settings) -> None:
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
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    client = Client(enforce_csrf_checks=True)
    client.get("/")
    refused = send(client, picture())
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2**20
    token = next(field["value"] for field in Elements(refused).of("input") if field["type"] == "hidden")
    sent = {"image": SimpleUploadedFile("picture.jpg", picture()), "csrfmiddlewaretoken": token}
    assert client.post("/", sent).status_code == 303


# The page of a query


def test_an_unfinished_query_keeps_looking_with_and_without_scripts(client: Client) -> None:
    for query in (running(), ask()):
        page = Elements(client.get(f"/q/{query.pk}"))
        assert page.values("hx-get") == [f"/q/{query.pk}"]
        assert page.values("hx-trigger") == ["load delay:150ms, again"]
        assert [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "refresh"] == ["1"]


def test_a_finished_query_no_longer_looks(client: Client) -> None:
    for query in (finished(add_image()), failed()):
        page = Elements(client.get(f"/q/{query.pk}"))
        assert page.values("hx-get") == page.values("http-equiv") == []


def test_an_old_query_is_looked_for_more_patiently(client: Client) -> None:
    response = client.get(f"/q/{ask(age_s=60).pk}")
    assert Elements(response).values("hx-trigger") == ["load delay:2000ms, again"]
    assert "longer than usual" in response.content.decode()


def test_a_waiting_query_knows_its_place(client: Client) -> None:
    first, second = ask(age_s=2), ask(age_s=1)
    assert heading(client.get(f"/q/{first.pk}")) == "You are next"
    assert heading(client.get(f"/q/{second.pk}")) == "Waiting, 1 ahead"
    queries.claim(1)
    assert heading(client.get(f"/q/{first.pk}")) == "Looking…"
    assert heading(client.get(f"/q/{second.pk}")) == "You are next"


def test_the_matches_come_in_order_with_their_similarities(client: Client) -> None:
    images = [add_image(seed, label=f"kind {seed}", title=f"picture {seed}") for seed in range(3)]
    query = finished(*images, images=1234, timings_ms={"embed": 9.0})
    text = client.get(f"/q/{query.pk}").content.decode()
    assert re.findall(r"similarity</span> ([\d.]+)", text) == ["1.00", "0.90", "0.80"]
    assert re.findall(r'src="/gallery/(.+)/thumbnail.jpg"', text) == [str(image.pk) for image in images]
    assert re.findall(r'formaction="/gallery/(.+)/like"', text) == [str(image.pk) for image in images]
    assert "kind 2" in text
    assert "picture 2" in text
    assert "1,234 pictures compared in" in text


def test_a_picture_hidden_since_is_not_shown(client: Client) -> None:
    shown, hidden = add_image(1), add_image(2)
    query = finished(hidden, shown)
    Image.objects.filter(pk=hidden.pk).update(is_hidden=True)
    response = client.get(f"/q/{query.pk}")
    assert heading(response) == "The most similar picture"
    assert shown.thumbnail_url in response.content.decode()
    assert str(hidden.pk) not in response.content.decode()


def test_a_hidden_picture_asked_about_is_not_shown(client: Client) -> None:
    image = add_image()
    client.post(f"/gallery/{image.pk}/like")
    Image.objects.filter(pk=image.pk).update(is_hidden=True)
    text = client.get(f"/q/{Query.objects.get().pk}").content.decode()
    assert "no longer here" in text
    assert str(image.pk) not in text


def test_a_query_about_a_deleted_picture_still_has_a_page(client: Client) -> None:
    image = add_image()
    client.post(f"/gallery/{image.pk}/like")
    image.delete()
    assert "no longer here" in client.get(f"/q/{Query.objects.get().pk}").content.decode()


def test_the_part_that_was_asked_about_is_outlined(client: Client) -> None:
    page = Elements(client.get(f"/q/{ask(crop=(0.1, 0.2, 0.5, 0.25)).pk}"))
    outline = next(rect for rect in page.of("rect") if "x" in rect and rect["width"] == "0.5")
    assert (outline["x"], outline["y"], outline["height"]) == ("0.1", "0.2", "0.25")


def test_an_empty_gallery_is_explained(client: Client) -> None:
    text = client.get(f"/q/{finished().pk}").content.decode()
    assert "No gallery picture could be compared yet" in text


def test_a_failed_query_says_why(client: Client) -> None:
    assert "The picture is damaged; send another one." in client.get(f"/q/{failed().pk}").content.decode()


def test_htmx_gets_the_changing_part_alone(client: Client) -> None:
    response = client.get(f"/q/{ask().pk}", headers=HTMX)
    assert Elements(response).found[0][0] == "section"
    assert "<html" not in response.content.decode()
    assert "no-store" in response["Cache-Control"]


# The gallery


def test_the_gallery_has_pages(client: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label="a & b", width_px=4, height_px=3) for number in range(PAGE_SIZE + 2)
    )
    first, second = (Elements(client.get("/gallery/", {"page": page, "label": "a & b"})) for page in (1, 2))
    assert [len(page.values("formaction")) for page in (first, second)] == [PAGE_SIZE, 2]
    assert [link["href"] for link in first.of("a") if link.get("rel") == "next"] == ["?page=2&label=a+%26+b"]
    assert [link["href"] for link in second.of("a") if link.get("rel") == "prev"] == ["?page=1&label=a+%26+b"]


def test_nothing_jumps_while_the_gallery_loads(client: Client) -> None:
    image = add_image()
    pictures = Elements(client.get("/gallery/")).of("img")
    assert [(shown["width"], shown["height"]) for shown in pictures] == [(str(image.width_px), str(image.height_px))]
    assert pictures[0]["alt"]


def test_the_gallery_can_be_narrowed_to_a_label(client: Client) -> None:
    cat, dog = add_image(1, label="cat"), add_image(2, label="dog")
    add_image(3, label="secret", is_hidden=True)
    text = client.get("/gallery/", {"label": "cat"}).content.decode()
    assert cat.thumbnail_url in text
    assert dog.thumbnail_url not in text
    assert "label=dog" in text
    assert "secret" not in text


def test_many_labels_become_a_list_to_choose_from(client: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=str(number), label=f"kind {number}", width_px=4, height_px=3) for number in range(41)
    )
    page = Elements(client.get("/gallery/", {"label": "kind 7"}))
    assert len(page.of("option")) == 42
    assert len(page.values("selected")) == 1


def test_an_empty_gallery_says_how_to_fill_it(client: Client) -> None:
    text = client.get("/gallery/").content.decode()
    assert "make run PHOTOS=" in text
    assert "manage.py import_images" in text
    assert "still empty" in client.get("/").content.decode()


def test_a_gallery_picture_has_a_page(client: Client) -> None:
    image = add_image(label="cat", title="Tom & Jerry")
    response = client.get(image.get_absolute_url())
    assert heading(response) == "Tom &amp; Jerry"
    page = Elements(response)
    assert image.picture_url in page.values("src")
    assert f"/gallery/{image.pk}/like" in page.values("action")


@pytest.mark.parametrize("address", ["/q/{}", "/q/{}/picture.jpg", "/gallery/{}", "/gallery/{}/picture.jpg", "/x"])
def test_a_stranger_gets_404(client: Client, address: str) -> None:
    response = client.get(address.format(STRANGER))
    assert response.status_code == 404
    assert heading(response) == "There is nothing here"


# Every page


@pytest.fixture
def every_page(client: Client) -> dict[str, Response]:
    empty = client.get("/gallery/")
    image = add_image(label="cat", title="Tom")
    rows = {"running": running(), "failed": failed(), "done": finished(image), "waiting": ask(crop=(0, 0, 0.5, 1))}
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
        assert page.of("style") == page.values("style") == [], name
        assert [a for _, attributes in page.found for a in attributes if a.startswith("on")] == [], name


def test_every_picture_has_words_and_every_page_one_heading(every_page: dict[str, Response]) -> None:
    for name, response in every_page.items():
        page = Elements(response)
        assert all(img.get("alt") for img in page.of("img")), name
        assert len(page.of("h1")) == 1, name
