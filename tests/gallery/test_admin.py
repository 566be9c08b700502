"""The admin pages of curators."""

import io
import zipfile
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from gallery.curation import bulk
from gallery.index import generations
from gallery.models import Duplicate, DuplicateGroup, Embedding, Image, IndexGeneration, Query
from gallery.operations import workers
from gallery.results import matches
from tests.api.answers import Response
from tests.gallery.rows import add_image, files_kept, finished, now, picture
from tests.responses import end

pytestmark = pytest.mark.django_db

IMAGES = "admin:gallery_image_changelist"
NEW_IMAGE = "admin:gallery_image_add"
UNDO = "admin:gallery_image_undo"
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
    """Return what the form complains about its file."""
    assert response.status_code == 200
    result: list[str] = response.context["adminform"].form.errors["file"]
    return result


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
        Embedding.objects.create(image=image, model_id="efficientnet_lite0", vector=b"")
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


def test_an_untitled_picture_is_called_like_its_file(curator: Client) -> None:
    upload(curator, picture())
    assert Image.objects.get().title == "picture"


def test_save_and_add_another_keeps_the_label(curator: Client) -> None:
    answer = upload(curator, picture(), label="big cat", _addanother="1")
    assert answer["Location"] == f"{reverse(NEW_IMAGE)}?label=big+cat"
    assert 'value="big cat"' in curator.get(answer["Location"]).content.decode()


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


@pytest.mark.parametrize(
    ("chosen", "titles"),
    [
        ({"embedding": "yes"}, {"Tom"}),
        ({"embedding": "waiting"}, {"Rex"}),
        ({"embedding": "bad"}, {"Bad"}),
        ({"duplicates": "yes"}, {"Tom"}),
        ({"duplicates": "no"}, {"Rex", "Bad"}),
        ({"view": "table"}, {"Tom", "Rex", "Bad"}),
    ],
)
def test_the_list_has_filters(curator: Client, chosen: dict[str, str], titles: set[str]) -> None:
    tom, _rex, bad = add_image(1, title="Tom"), add_image(2, title="Rex"), add_image(3, title="Bad")
    Embedding.objects.create(image=tom, model_id="efficientnet_lite0", vector=b"")
    Image.objects.filter(pk=bad.pk).update(problem="It cannot be read.")
    Duplicate.objects.create(group=DuplicateGroup.objects.create(kind="copy"), image=tom, similarity=1)
    response = curator.get(reverse(IMAGES), chosen)
    assert {image.title for image in response.context["cl"].result_list} == titles


def test_the_list_remembers_grid_or_table(curator: Client) -> None:
    add_image()
    looks = [curator.get(reverse(IMAGES) + view).content.decode() for view in ("", "?view=table", "", "?view=grid")]
    assert [[kind for kind in ("as-grid", "as-table") if kind in html] for html in looks] == [
        ["as-grid"],
        ["as-table"],
        ["as-table"],
        ["as-grid"],
    ]


def label_with(client: Client, label: str, rows: Iterable[Any]) -> Response:
    chosen = {"action": "set_label", "label": label, ACTION_CHECKBOX_NAME: [str(row.pk) for row in rows]}
    return client.post(reverse(IMAGES), chosen, follow=True)


def labels_now() -> dict[str, str]:
    return dict(Image.objects.values_list("title", "label"))


def test_labels_are_set_for_a_selection_and_undone(curator: Client) -> None:
    rows = [add_image(1, title="a", label="cat"), add_image(2, title="b", label="dog"), add_image(3, title="c")]
    assert "2 labelled." in label_with(curator, "  Big   cat ", rows[:2]).content.decode()
    assert labels_now() == {"a": "Big cat", "b": "Big cat", "c": ""}
    assert "Undo: Label (2)" in curator.get(reverse(IMAGES)).content.decode()
    Image.objects.filter(title="b").update(label="changed since")
    assert "Undone for 2 pictures." in curator.post(reverse(UNDO), follow=True).content.decode()
    assert labels_now() == {"a": "cat", "b": "changed since", "c": ""}
    assert "There is nothing to undo." in curator.post(reverse(UNDO), follow=True).content.decode()


def test_a_selection_without_a_label_is_asked_for_one(curator: Client) -> None:
    row = add_image(title="a", label="cat")
    assert "Type the label" in label_with(curator, " ", [row]).content.decode()
    assert labels_now() == {"a": "cat"}


def test_only_what_the_last_action_hid_is_shown_again(curator: Client) -> None:
    hidden, shown = add_image(1, is_hidden=True), add_image(2)
    act(curator, IMAGES, "hide", [hidden, shown])
    curator.post(reverse(UNDO))
    assert list(Image.objects.visible()) == [shown]


def test_many_labels_are_set_and_undone_by_a_worker(curator: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=f"{number}", width_px=4, height_px=3, label=f"old {number % 3}")
        for number in range(bulk.AT_ONCE + 1)
    )
    before = dict(Image.objects.values_list("pk", "label"))
    bulk.change("label", Image.objects.all(), "curator", "new")
    while bulk.step():
        pass
    assert set(Image.objects.values_list("label", flat=True)) == {"new"}
    assert bulk.undo("another") == (0, True)
    assert bulk.undo("curator") == (bulk.AT_ONCE + 1, False)
    while bulk.step():
        pass
    assert dict(Image.objects.values_list("pk", "label")) == before


def test_a_selection_is_downloaded(curator: Client) -> None:
    image, _other = add_image(1, title="Tom", label="cat"), add_image(2)
    chosen = {"action": "download", ACTION_CHECKBOX_NAME: str(image.pk)}
    answer: Any = curator.post(reverse(IMAGES), chosen)
    with zipfile.ZipFile(io.BytesIO(b"".join(answer))) as archive:
        assert archive.namelist() == [f"pictures/{image.pk}.jpg", "images.csv"]
        assert archive.read(archive.namelist()[0]) == image.picture_file.path.read_bytes()
        table = archive.read("images.csv")
    answer = curator.post(reverse(IMAGES), chosen | {"action": "table"})
    assert b"".join(answer) == table
    assert b",cat,Tom," in table


def test_a_large_table_is_sent_in_large_parts_with_few_statements(
    curator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Image.objects.bulk_create(Image(content_hash=f"{number}", width_px=4, height_px=3) for number in range(3000))
    chosen = {"action": "table", "select_across": "1", ACTION_CHECKBOX_NAME: str(Image.objects.all()[0].pk)}
    with django_assert_max_num_queries(10):
        answer: Any = curator.post(reverse(IMAGES), chosen)
        parts = list(answer)
    assert b"".join(parts).count(b"\n") == 1 + 3000
    assert len(parts) <= 10


# The index, and what only the system writes


@pytest.mark.parametrize("page", [IMAGES, GENERATIONS])
def test_a_rebuild_is_a_button(
    curator: Client, page: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    rebuild = reverse("admin:gallery_indexgeneration_rebuild")
    assert f'action="{rebuild}"' in curator.get(reverse(page)).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        html = curator.post(rebuild, follow=True).content.decode()
    assert "There is no index yet" in html
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
        assert matches.shown(now(row))[0].image.thumbnail_url in html


@pytest.mark.parametrize("model", ["query", "indexgeneration"])
def test_rows_of_the_system_are_not_written_by_hand(curator: Client, model: str) -> None:
    row = read_only_row(model)
    assert curator.get(reverse(f"admin:gallery_{model}_add")).status_code == 403
    assert curator.post(one("change", row), {"state": "failed"}).status_code == 403
    assert not Query.objects.filter(state="failed").exists()
    assert not IndexGeneration.objects.filter(state="failed").exists()


def test_the_progress_of_a_rebuild_is_told(curator: Client) -> None:
    generations.activate(generations.start("efficientnet_lite0"), images=7, last_embedding=7, manifest={})
    html = curator.post(reverse("admin:gallery_indexgeneration_rebuild"), follow=True).content.decode()
    assert "A rebuild is requested" in html
    progress = reverse("admin:gallery_indexgeneration_progress")
    assert "begins the build" in curator.get(progress).content.decode()
    generation = generations.start("efficientnet_lite0")
    assert "is being built" in curator.get(progress).content.decode()
    generations.activate(generation, images=7, last_embedding=7, manifest={})
    html = curator.get(progress).content.decode()
    assert "is built, with 7 pictures" in html
    assert "hx-get" not in html


def test_a_generation_is_not_deleted_by_hand(curator: Client) -> None:
    generation = generations.start("efficientnet_lite0")
    assert curator.post(one("delete", generation), {"post": "yes"}).status_code == 403
    assert IndexGeneration.objects.get() == generation


def test_a_change_of_the_model_can_be_watched(curator: Client) -> None:
    done, _waiting = add_image(1), add_image(2)
    generations.activate(generations.start("efficientnet_lite0"), images=2, last_embedding=2, manifest={})
    for image, model_id in [(done, "efficientnet_lite0"), (done, "alexnet")]:
        Embedding.objects.create(image=image, model_id=model_id, vector=b"")
    html = curator.get(reverse("admin:gallery_indexgeneration_changelist")).content.decode()
    assert "alexnet, which has embedded 1 of 2 pictures" in html
    assert "efficientnet_lite0, which has" not in html
