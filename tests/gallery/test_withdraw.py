"""Who made a query can delete it at once on its page, the staff and programs with a key can delete any."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signing import get_cookie_signer
from django.test import Client
from pytest_django import Settings

from gallery.models import Image, Query
from gallery.queries import lifecycle
from gallery.site.views import OWNER_COOKIE
from tests.api.answers import Response, error_code
from tests.gallery.elements import Elements, heading, send
from tests.gallery.rows import STRANGER, add_image, answer, ask, files_kept, finish, finished, in_state, picture

pytestmark = pytest.mark.django_db(transaction=True)


KEY = "key-of-the-camera"


@pytest.fixture(autouse=True)
def _keys(settings: Settings) -> None:
    settings.SIMSEARCH_API_KEYS = [KEY]


def own(client: Client, query_id: object) -> None:
    """Give the browser the cookie that it would have if it had made this query."""
    client.cookies[OWNER_COOKIE] = get_cookie_signer(salt=OWNER_COOKIE * 2).sign(str(query_id))


def by_page(client: Client, query_id: object) -> Response:
    own(client, query_id)
    return client.post(f"/q/{query_id}/delete")


def by_api(client: Client, query_id: object) -> Response:
    return client.delete(f"/api/queries/{query_id}", headers={"Authorization": f"Bearer {KEY}"})


WAYS = [by_page, by_api]


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_it_is_left(client: Client, way: Callable[[Client, object], Response], state: str) -> None:
    query, _ = in_state(state)
    other = ask(2)
    assert way(client, query.pk).status_code in {303, 204}
    assert list(Query.objects.all()) == [other]
    assert files_kept() == [other.upload_file.path]
    assert client.get(f"/q/{query.pk}").status_code == 404
    assert client.get(f"/q/{query.pk}/picture.jpg").status_code == 404
    assert client.get(f"/api/queries/{query.pk}").status_code == 404


def test_the_gallery_keeps_its_pictures(client: Client) -> None:
    image = add_image()
    assert by_page(client, finished(image).pk).status_code == 303
    assert list(Image.objects.all()) == [image]
    assert files_kept() == sorted([image.picture_file.path, image.thumbnail_file.path])


def test_one_that_is_being_answered_gets_no_answer(client: Client) -> None:
    image, query = add_image(), ask()
    claim = lifecycle.claim(1)
    by_api(client, query.pk)
    assert finish(claim.token, {query: answer(image)}) == 0
    assert not lifecycle.fail(claim.token, query, "corrupt", "The picture is damaged.")


def test_the_page_has_a_button_for_it_and_says_that_it_is_done(client: Client) -> None:
    send(client, picture())
    query = Query.objects.get()
    action = f"/q/{query.pk}/delete"
    assert action in Elements(client.get(f"/q/{query.pk}")).values("action")
    response = client.post(action, follow=True)
    assert heading(response) == "Find pictures by picture"
    assert "Your search is deleted" in response.content.decode()
    assert "Your search is deleted" not in client.get("/").content.decode()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_there_is_404(client: Client, way: Callable[[Client, object], Response]) -> None:
    ask()
    response = way(client, STRANGER)
    assert response.status_code == 404
    if way is by_api:
        assert error_code(response) == "not_found"
    assert Query.objects.count() == 1


@pytest.mark.parametrize("made_by", ["upload", "script", "more like"])
def test_the_browser_that_made_a_query_may_delete_it_and_no_other(client: Client, made_by: str) -> None:
    if made_by == "more like":
        client.post(f"/gallery/{add_image().pk}/like")
    elif made_by == "upload":
        send(client, picture())
    else:
        file = SimpleUploadedFile("picture.jpg", picture())
        client.post("/", {"image": file}, headers={"Accept": "application/json"})
    query, stranger = Query.objects.get(), Client()
    other = ask(2)
    own(stranger, other.pk)
    for visitor in (stranger, Client()):
        assert f"/q/{query.pk}/delete" not in Elements(visitor.get(f"/q/{query.pk}")).values("action")
        response = visitor.post(f"/q/{query.pk}/delete")
        assert (response.status_code, heading(response)) == (403, "This search is not yours")
    assert Query.objects.count() == 2
    assert client.post(f"/q/{query.pk}/delete").status_code == 303
    assert list(Query.objects.all()) == [other]


def test_the_cookie_of_a_query_goes_to_its_page_alone(client: Client) -> None:
    cookie = send(client, picture()).cookies[OWNER_COOKIE]
    assert cookie["path"] == f"/q/{Query.objects.get().pk}"
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 7 * 24 * 3600)


def test_a_forged_cookie_deletes_nothing(client: Client) -> None:
    query = ask()
    client.cookies[OWNER_COOKIE] = f"{query.pk}:1uSEgG:forged"
    assert client.post(f"/q/{query.pk}/delete").status_code == 403
    assert Query.objects.exists()


def test_the_staff_may_delete_any_query(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    query = ask()
    assert f"/q/{query.pk}/delete" in Elements(client.get(f"/q/{query.pk}")).values("action")
    assert client.post(f"/q/{query.pk}/delete").status_code == 303
    assert not Query.objects.exists()


def test_without_a_key_the_api_deletes_nothing(client: Client) -> None:
    query = ask()
    own(client, query.pk)
    response = client.delete(f"/api/queries/{query.pk}")
    assert (response.status_code, error_code(response)) == (401, "unauthorized")
    assert Query.objects.exists()


def test_a_link_alone_deletes_nothing(client: Client) -> None:
    query = ask()
    assert client.get(f"/q/{query.pk}/delete").status_code == 405
    assert Client(enforce_csrf_checks=True).post(f"/q/{query.pk}/delete").status_code == 403
    assert Query.objects.exists()
