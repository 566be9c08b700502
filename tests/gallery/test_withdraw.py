"""Whoever knows the link of a query can delete it at once, on its page and by the API."""

from collections.abc import Callable

import pytest
from django.test import Client

from gallery.models import Image, Query
from gallery.queries import lifecycle
from tests.api.answers import Response, error_code
from tests.gallery.elements import Elements, heading
from tests.gallery.rows import STRANGER, add_image, answer, ask, files_kept, finish, finished, in_state

pytestmark = pytest.mark.django_db(transaction=True)


def by_page(client: Client, query_id: object) -> Response:
    return client.post(f"/q/{query_id}/delete")


def by_api(client: Client, query_id: object) -> Response:
    return client.delete(f"/api/queries/{query_id}")


WAYS = [by_page, by_api]


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_it_is_left(client: Client, way: Callable[[Client, object], Response], state: str) -> None:
    query, _ = in_state(state)
    other = ask(2)
    assert way(client, query.pk).status_code in {303, 204}
    assert list(Query.objects.all()) == [other]
    assert files_kept() == [other.upload_path]
    assert client.get(f"/q/{query.pk}").status_code == 404
    assert client.get(f"/q/{query.pk}/picture.jpg").status_code == 404
    assert client.get(f"/api/queries/{query.pk}").status_code == 404


def test_the_gallery_keeps_its_pictures(client: Client) -> None:
    image = add_image()
    assert by_page(client, finished(image).pk).status_code == 303
    assert list(Image.objects.all()) == [image]
    assert files_kept() == sorted([image.picture_path, image.thumbnail_path])


def test_one_that_is_being_answered_gets_no_answer(client: Client) -> None:
    image, query = add_image(), ask()
    claim = lifecycle.claim(1)
    by_api(client, query.pk)
    assert finish(claim.token, {query: answer(image)}) == 0
    assert not lifecycle.fail(claim.token, query, "corrupt", "The picture is damaged.")


def test_the_page_has_a_button_for_it_and_says_that_it_is_done(client: Client) -> None:
    query = ask()
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


def test_a_link_alone_deletes_nothing(client: Client) -> None:
    query = ask()
    assert client.get(f"/q/{query.pk}/delete").status_code == 405
    assert Client(enforce_csrf_checks=True).post(f"/q/{query.pk}/delete").status_code == 403
    assert Query.objects.exists()
