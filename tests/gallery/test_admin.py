"""The curators' desk."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from gallery.curation import generations
from gallery.models import Embedding, Image, IndexGeneration, Query
from gallery.operations import workers
from gallery.queries import results
from tests.api.answers import Response
from tests.gallery.rows import add_image, files_kept, finished, now, picture
from tests.responses import end

pytestmark = pytest.mark.django_db

IMAGES = "admin:gallery_image_changelist"
NEW_IMAGE = "admin:gallery_image_add"
GENERATIONS = "admin:gallery_indexgeneration_changelist"


def upload(client: Client, data: bytes, **fields: str) -> Response:
    return client.post(reverse(NEW_IMAGE), {"file": SimpleUploadedFile("picture.jpg", data)} | fields)


def act(client: Client, page: str, action: str, rows: Iterable[Any]) -> Response:
    """Choose an action for those rows of a list."""
    chosen = [str(row.pk) for row in rows]
    return client.post(reverse(page), {"action": action, ACTION_CHECKBOX_NAME: chosen}, follow=True)


def one(page: str, row: Any) -> str:
    return reverse(f"admin:gallery_{row._meta.model_name}_{page}", args=[row.pk])


def errors(response: Response) -> list[str]:
    """What the form complains about its file."""
    assert response.status_code == 200
    told: list[str] = response.context["adminform"].form.errors["file"]
    return told


# Who may come in


@pytest.mark.parametrize("page", [IMAGES, NEW_IMAGE, GENERATIONS, "admin:gallery_query_changelist", "admin:index"])
@pytest.mark.parametrize("who", ["visitor", "member"])
def test_who_is_no_curator_is_sent_to_the_login(request: pytest.FixtureRequest, who: str, page: str) -> None:
    client: Client = request.getfixturevalue(who)
    address = reverse(page)
    response = client.get(address)
    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={address}")


def test_who_is_no_curator_changes_nothing(member: Client) -> None:
    image = add_image()
    upload(member, picture(2))
    act(member, IMAGES, "hide", [image])
    member.post(one("delete", image), {"post": "yes"})
    assert list(Image.objects.visible()) == [image]


# Looking


def test_the_list_shows_each_picture(curator: Client) -> None:
    image = add_image(title="Tom", label="cat")
    html = curator.get(reverse(IMAGES)).content.decode()
    assert image.thumbnail_url in html
    assert "Tom" in html
    assert 'value="cat"' in html


@pytest.mark.parametrize("embedded", [True, False])
def test_the_list_shows_whether_there_is_an_embedding(curator: Client, embedded: bool) -> None:
    image = add_image()
    if embedded:
        Embedding.objects.create(image=image, network="efficientnet_lite0", vector=b"")
    html = curator.get(reverse(IMAGES)).content.decode()
    cell = html.split('class="field-has_embedding">')[1].split("</td>")[0]
    assert f'alt="{embedded}"' in cell


@pytest.mark.parametrize(
    ("chosen", "titles"),
    [({"label": "cat"}, {"Tom"}), ({"is_hidden__exact": "1"}, {"Rex"}), ({"q": "re"}, {"Rex"}), ({}, {"Tom", "Rex"})],
)
def test_the_list_can_be_narrowed(curator: Client, chosen: dict[str, str], titles: set[str]) -> None:
    add_image(1, title="Tom", label="cat")
    add_image(2, title="Rex", label="dog", is_hidden=True)
    response = curator.get(reverse(IMAGES), chosen)
    assert {image.title for image in response.context["cl"].result_list} == titles


def test_a_picture_has_a_page(curator: Client) -> None:
    image = add_image(title="Tom")
    html = curator.get(one("change", image)).content.decode()
    assert image.picture_url in html
    assert image.content_hash in html


def test_a_curator_sees_hidden_pictures(curator: Client) -> None:
    image = add_image(is_hidden=True)
    response = curator.get(image.thumbnail_url)
    end(response)
    assert response.status_code == 200


# Adding


def test_a_picture_is_added_by_upload(
    curator: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        response = upload(curator, picture(), title="Tom", label="cat")
    assert response.status_code == 302
    image = Image.objects.get()
    assert (image.title, image.label, image.is_hidden) == ("Tom", "cat", False)
    assert image.is_pending
    assert files_kept() == [image.upload_file.path]
    with workers.connect() as redis:
        assert redis.llen("gallery") == 1  # so that it is decoded and embedded soon
    assert "not decoded yet" in curator.get(reverse(IMAGES)).content.decode()
    assert "not decoded yet" in curator.get(one("change", image)).content.decode()


def test_a_picture_that_is_there_already_is_a_form_error(curator: Client) -> None:
    image = add_image(title="Tom")
    before = files_kept()
    assert errors(upload(curator, picture())) == ["The gallery has this picture already (Tom)."]
    assert list(Image.objects.all()) == [image]
    assert files_kept() == before


@pytest.mark.parametrize("data", [b"I am no picture.", b""], ids=["unsupported_format", "empty"])
def test_a_bad_picture_is_a_form_error(curator: Client, data: bytes) -> None:
    assert len(errors(upload(curator, data))) == 1
    assert not Image.objects.exists()
    assert files_kept() == []


def test_a_full_disk_is_a_message(curator: Client, settings: Any, tmp_path: Any) -> None:
    (tmp_path / "full").write_bytes(b"")
    settings.UPLOADS_ROOT = tmp_path / "full" / "uploads"
    upload(curator, picture())
    assert "no room for another picture" in curator.get(reverse(IMAGES)).content.decode()
    assert not Image.objects.exists()


# Changing


def test_a_picture_can_be_described_anew(curator: Client) -> None:
    image = add_image(title="Tom", label="cat")
    before = files_kept()
    curator.post(one("change", image), {"title": "Rex", "label": "dog", "is_hidden": "on"})
    image.refresh_from_db()
    assert (image.title, image.label, image.is_hidden) == ("Rex", "dog", True)
    assert files_kept() == before


def test_labels_are_edited_in_the_list(curator: Client) -> None:
    image = add_image(label="cat")
    form = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(image.pk), "form-0-label": "dog"}
    curator.post(reverse(IMAGES), form | {"_save": "Save"})
    assert Image.objects.get().label == "dog"


def test_pictures_are_hidden_and_shown_again(curator: Client) -> None:
    first, second = add_image(1), add_image(2)
    assert "1 hidden." in act(curator, IMAGES, "hide", [first]).content.decode()
    assert list(Image.objects.visible()) == [second]
    assert "1 shown." in act(curator, IMAGES, "show", [first]).content.decode()
    assert Image.objects.visible().count() == 2


@pytest.mark.parametrize("way", ["its page", "the list"])
def test_a_deleted_picture_is_gone_with_its_files(
    curator: Client, way: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    gone, kept = add_image(1), add_image(2)
    query = finished(gone, kept)
    with django_capture_on_commit_callbacks(execute=True):
        if way == "its page":
            curator.post(one("delete", gone), {"post": "yes"})
        else:
            chosen = {"action": "delete_selected", ACTION_CHECKBOX_NAME: str(gone.pk), "post": "yes"}
            curator.post(reverse(IMAGES), chosen)
    assert list(Image.objects.all()) == [kept]
    assert files_kept() == sorted([kept.picture_file.path, kept.thumbnail_file.path, query.picture_file.path])


# The index, and what only the system writes


@pytest.mark.parametrize("page", [IMAGES, GENERATIONS])
def test_a_rebuild_can_be_asked_for(
    curator: Client, page: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    row = add_image() if page == IMAGES else generations.start("efficientnet_lite0")
    with django_capture_on_commit_callbacks(execute=True):
        html = act(curator, page, "rebuild_index", [row]).content.decode()
    assert "A rebuild is under way" in html
    with workers.connect() as redis:
        assert redis.llen("gallery") == 1


def read_only_row(model: str) -> Any:
    return finished(add_image()) if model == "query" else generations.start("efficientnet_lite0")


@pytest.mark.parametrize("model", ["query", "indexgeneration"])
def test_rows_of_the_system_are_there_to_be_read(curator: Client, model: str) -> None:
    row = read_only_row(model)
    assert curator.get(reverse(f"admin:gallery_{model}_changelist")).status_code == 200
    html = curator.get(one("change", row)).content.decode()
    assert 'name="_save"' not in html
    if model == "query":
        assert results.shown(now(row))[0].image.thumbnail_url in html


@pytest.mark.parametrize("model", ["query", "indexgeneration"])
def test_rows_of_the_system_are_not_written_by_hand(curator: Client, model: str) -> None:
    row = read_only_row(model)
    assert curator.get(reverse(f"admin:gallery_{model}_add")).status_code == 403
    assert curator.post(one("change", row), {"state": "failed"}).status_code == 403
    assert not Query.objects.filter(state="failed").exists()
    assert not IndexGeneration.objects.filter(state="failed").exists()


def test_a_generation_is_not_deleted_by_hand(curator: Client) -> None:
    generation = generations.start("efficientnet_lite0")
    assert curator.post(one("delete", generation), {"post": "yes"}).status_code == 403
    assert IndexGeneration.objects.get() == generation


def test_a_change_of_the_network_can_be_watched(curator: Client) -> None:
    done, _waiting = add_image(1), add_image(2)
    generations.activate(generations.start("efficientnet_lite0"), images=2, last_embedding=2, manifest={})
    for image, network in [(done, "efficientnet_lite0"), (done, "alexnet")]:
        Embedding.objects.create(image=image, network=network, vector=b"")
    html = curator.get(reverse("admin:gallery_indexgeneration_changelist")).content.decode()
    assert "alexnet, which has embedded 1 of 2 pictures" in html
    assert "efficientnet_lite0, which has" not in html
