"""POST /api/queries with several pictures: `image`, `like` and `unlike`, each as often as wanted."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from gallery.models import Image, Query
from gallery.queries.accept import MOST_NAMED, MOST_UPLOADS
from tests.api.answers import Response, error_code
from tests.gallery.rows import STRANGER, add_image, files_kept, picture

pytestmark = pytest.mark.django_db

Part = tuple[Image | None, bool, bool]


def post(client: Client, *seeds: int, **fields: Any) -> Response:
    """Ask with these pictures and fields in one form."""
    files = [SimpleUploadedFile(f"{seed}.png", picture(seed)) for seed in seeds]
    return client.post("/api/queries", ({"image": files} if files else {}) | fields)


def parts() -> list[Part]:
    """Return the further pictures of the only query."""
    return [(part.image, part.has_picture, part.is_negative) for part in Query.objects.get().further]


def test_several_files_are_one_query(client: Client) -> None:
    assert post(client, 1, 2, 3).status_code == 202
    query = Query.objects.get()
    assert (query.has_picture, query.has_parts, query.like) == (True, True, None)
    assert parts() == [(None, True, False)] * 2
    assert files_kept() == sorted(row.upload_file.path for row in query.pictures)
    assert [row.upload_file.path.read_bytes() for row in query.pictures] == [picture(seed) for seed in (1, 2, 3)]


def test_files_come_first_then_what_is_like_then_what_is_unlike(client: Client) -> None:
    one, two, three = (add_image(seed) for seed in (4, 5, 6))
    ids = {"like": [str(one.pk), str(two.pk)], "unlike": [str(three.pk)]}
    assert post(client, 1, **ids).status_code == 202
    assert parts() == [(one, False, False), (two, False, False), (three, False, True)]


def test_the_first_gallery_picture_is_the_query_where_there_is_no_file(client: Client) -> None:
    one, two = add_image(4), add_image(5)
    assert post(client, like=[str(one.pk), str(two.pk), str(one.pk)]).status_code == 202  # one is there twice
    assert Query.objects.get().like == one
    assert parts() == [(two, False, False)]


def test_one_picture_has_no_parts(client: Client) -> None:
    post(client, 1)
    post(client, like=str(add_image(4).pk))
    assert {query.has_parts for query in Query.objects.all()} == {False}


def test_with_negative_pictures_alone_there_is_nothing_to_find(client: Client) -> None:
    response = post(client, unlike=str(add_image(4).pk))
    assert (response.status_code, error_code(response)) == (422, "invalid")
    assert response.json()["error"]["message"] == (
        "Add a picture to look for: with `unlike` alone there is nothing to find."
    )
    assert not Query.objects.exists()


def test_a_picture_cannot_be_wanted_and_unwanted(client: Client) -> None:
    image = str(add_image(4).pk)
    response = post(client, like=image, unlike=image)
    assert (response.status_code, error_code(response)) == (422, "invalid")


@pytest.mark.parametrize("sign", ["like", "unlike"])
@pytest.mark.parametrize("what", ["hidden", "unknown"])
def test_a_picture_that_cannot_be_seen_cannot_be_named(client: Client, sign: str, what: str) -> None:
    image = STRANGER if what == "unknown" else add_image(4, is_hidden=True).pk
    response = post(client, 1, **{sign: str(image)})
    assert (response.status_code, error_code(response)) == (404, "not_found")
    assert (files_kept() == [] or what == "hidden", Query.objects.exists()) == (True, False)


def test_a_bad_file_among_good_ones_is_refused_and_nothing_is_kept(client: Client) -> None:
    files = [SimpleUploadedFile("1.png", picture(1)), SimpleUploadedFile("2.png", b"not a picture")]
    response = client.post("/api/queries", {"image": files})
    assert (response.status_code, error_code(response)) == (415, "unsupported_format")
    assert (files_kept(), Query.objects.exists()) == ([], False)


def test_as_many_as_the_description_says(client: Client) -> None:
    images = [str(add_image(seed).pk) for seed in range(30, 30 + MOST_NAMED)]
    assert post(client, *range(1, MOST_UPLOADS + 1), like=images).status_code == 202
    assert len(parts()) == MOST_UPLOADS + MOST_NAMED - 1


def test_each_upload_counts(client: Client, settings: Settings) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 5
    assert [post(client, 1, 2).status_code for _ in range(3)] == [202, 202, 429]


def test_the_others_are_listed_in_the_description(client: Client) -> None:
    schema = client.get("/api/openapi.json").json()
    form = schema["paths"]["/api/queries"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {name: form["properties"][name]["maxItems"] for name in ("image", "like", "unlike")} == {
        "image": 10,
        "like": 20,
        "unlike": 20,
    }
