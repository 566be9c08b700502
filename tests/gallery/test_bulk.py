"""Admin actions on many rows: asked for by the list as a browser sends it, carried out by a worker in steps."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from gallery.curation import bulk
from gallery.models import BulkAction, Image, Query
from gallery.operations import workers
from tasks.tasks import bulk as task
from tests.api.answers import Response
from tests.gallery.rows import add_image, ago, files_kept

pytestmark = pytest.mark.django_db

MANY = 2 * bulk.AT_ONCE + 1


class Form(HTMLParser):
    """The hidden fields of the form that asks once more."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.feed(response.content.decode().split('<div id="content"', 1)[1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("type") == "hidden":
            self.fields.setdefault(found["name"] or "", []).append(found["value"] or "")


def many_images(count: int = MANY, **fields: str) -> None:
    Image.objects.bulk_create(
        Image(content_hash=f"{number} {fields}", width_px=4, height_px=3, created_at=ago(60), **fields)
        for number in range(count)
    )


def many_queries(count: int = MANY) -> None:
    Query.objects.bulk_create(Query(has_picture=False, state="done", created_at=ago(60)) for _ in range(count))


def address(model: str, **where: str) -> str:
    return reverse(f"admin:gallery_{model}_changelist") + (f"?{urlencode(where)}" if where else "")


def select_all(client: Client, model: str, action: str, **where: str) -> Response:
    """Select the rows of the first page, then all, and choose an action."""
    listing = client.get(address(model, **where))
    shown = [str(row.pk) for row in listing.context["cl"].result_list]
    chosen = {"action": action, "_selected_action": shown, "select_across": "1", "index": "0"}
    return client.post(address(model, **where), chosen, follow=True)


def delete_all(client: Client, model: str, **where: str) -> Response:
    confirmation = select_all(client, model, "delete_selected", **where)
    assert confirmation.status_code == 200
    return client.post(address(model, **where), Form(confirmation).fields, follow=True)


def work() -> Iterator[int]:
    """Run the task until it finds nothing; the number of changed rows after each step."""
    while task():
        yield BulkAction.objects.get().done


@pytest.mark.parametrize("model", ["image", "query"])
def test_all_rows_of_a_list_are_deleted(curator: Client, model: str) -> None:
    many_images() if model == "image" else many_queries()
    table = bulk.TABLES[model]
    response = delete_all(curator, model)
    assert response.status_code == 200
    assert "2,001 rows are being changed." in response.content.decode()
    assert table._default_manager.count() == MANY
    assert list(work()) == [500, 1000, 1500, 2000, 2001]
    assert not table._default_manager.exists()


@pytest.mark.parametrize(("action", "hidden"), [("hide", True), ("show", False)])
def test_all_rows_of_a_filtered_list_are_hidden_or_shown(curator: Client, action: str, hidden: bool) -> None:
    many_images(label="cat")
    many_images(3, label="dog")
    Image.objects.update(is_hidden=not hidden)
    select_all(curator, "image", action, label="cat")
    for _ in work():
        pass
    assert set(Image.objects.values_list("label", "is_hidden")) == {("cat", hidden), ("dog", not hidden)}


def test_a_thousand_rows_are_changed_by_the_request_itself(curator: Client) -> None:
    many_images(bulk.AT_ONCE)
    assert "1,000 deleted." in delete_all(curator, "image").content.decode()
    assert not Image.objects.exists()
    assert not BulkAction.objects.exists()


def test_the_question_names_few_rows_and_counts_all(curator: Client) -> None:
    many_images(title="Tom")
    text = select_all(curator, "image", "delete_selected").content.decode()
    assert "Delete 2,001 images?" in text
    assert text.count("Tom</li>") == 20
    assert "and 1,981 more" in text
    assert len(text) < 50_000


def test_a_picture_added_after_the_question_stays(curator: Client) -> None:
    many_images(3)
    confirmation = select_all(curator, "image", "delete_selected")
    late = add_image()
    curator.post(address("image"), Form(confirmation).fields)
    assert list(Image.objects.all()) == [late]


def test_a_picture_added_after_the_action_began_stays(curator: Client) -> None:
    many_images()
    delete_all(curator, "image")
    late = add_image()
    for _ in work():
        pass
    assert list(Image.objects.all()) == [late]


def test_the_files_go_with_their_rows(
    curator: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    add_image()
    many_images()
    delete_all(curator, "image")
    with django_capture_on_commit_callbacks(execute=True):
        for _ in work():
            pass
    assert files_kept() == []


def test_the_list_shows_how_far_it_is(curator: Client) -> None:
    many_images()
    delete_all(curator, "image")
    task()
    for page in (address("image"), reverse("admin:gallery_image_progress")):
        text = curator.get(page).content.decode()
        assert "Delete: 500 of 2,001" in text
        assert '<progress max="2001" value="500">' in text
        assert f'hx-get="{reverse("admin:gallery_image_progress")}"' in text
    for _ in work():
        pass
    text = curator.get(reverse("admin:gallery_image_progress")).content.decode()
    assert "Delete: 2,001 done" in text
    assert "hx-get" not in text
    assert "Delete" not in curator.get(reverse("admin:gallery_query_progress")).content.decode()


def test_only_who_sees_the_list_sees_the_progress(member: Client) -> None:
    assert member.get(reverse("admin:gallery_image_progress")).status_code == 302
    member.force_login(User.objects.create_user("staff", is_staff=True))
    assert member.get(reverse("admin:gallery_image_progress")).status_code == 403


def test_the_worker_is_woken_until_all_is_done(
    curator: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    many_images()
    for run in (lambda: delete_all(curator, "image"), task, task):
        with workers.connect() as redis:
            redis.flushall()
            with django_capture_on_commit_callbacks(execute=True):
                run()
            assert redis.llen("gallery") == 1


def test_a_step_that_another_worker_took_changes_nothing(curator: Client) -> None:
    many_images()
    delete_all(curator, "image")
    read_by_both = BulkAction.objects.get()
    assert [bulk.take_step(read_by_both), bulk.take_step(read_by_both)] == [True, False]
    assert (BulkAction.objects.get().done, Image.objects.count()) == (bulk.STEP, MANY - bulk.STEP)


def test_the_account_is_kept_and_the_ids_are_not(curator: Client) -> None:
    many_images()
    select_all(curator, "image", "hide")
    for _ in work():
        pass
    action = BulkAction.objects.get()
    assert (action.requested_by, bytes(action.rows), action.total) == ("curator", b"", MANY)
    assert action.finished_at
    assert action.finished_at <= timezone.now()


def test_the_number_of_statements_does_not_grow_with_the_rows(
    curator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    many_images(20_000)
    with django_assert_max_num_queries(40):
        delete_all(curator, "image")
    with django_assert_max_num_queries(20):
        task()


def test_an_action_of_a_later_version_changes_nothing() -> None:
    image = add_image(1)
    action = BulkAction.objects.create(table="image", action="rotate", rows=image.pk.bytes, total=1, requested_by="ann")
    with pytest.raises(ValueError, match="rotate"):
        bulk.take_step(action)
    assert list(Image.objects.all()) == [image]
    assert BulkAction.objects.get().done == 0
