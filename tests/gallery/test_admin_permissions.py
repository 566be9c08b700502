"""What each permission of an account lets it do in the lists of the admin; and what no browser sends to them."""

from itertools import combinations
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, Permission, User
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from gallery.index import generations
from gallery.models import Image, IndexGeneration, Query
from gallery.operations import workers
from tests.gallery.rows import add_image, finished

pytestmark = pytest.mark.django_db

# The one permission that each action asks for; beside it, the list itself has to be visible.
ACTIONS: dict[tuple[type[models.Model], str], str] = {
    (Image, "delete_selected"): "delete_image",
    (Image, "hide"): "change_image",
    (Image, "show"): "change_image",
    (Image, "set_label"): "change_image",
    (IndexGeneration, "activate"): "change_indexgeneration",
    (Query, "delete_selected"): "delete_query",
    (User, "delete_selected"): "delete_user",
    (Group, "delete_selected"): "delete_group",
}
# Actions that only read.
READING = {(Image, "download"): "view_image", (Image, "table"): "view_image"}
# Pages and buttons beside the lists: the permission that each asks for.
DOORS = {
    ("get", "gallery_image_add_many"): "add_image",
    ("get", "gallery_image_add_many_state"): "add_image",
    ("post", "gallery_image_add_many_file"): "add_image",
    ("post", "gallery_image_add_many_zip"): "add_image",
    ("post", "gallery_image_undo"): "change_image",
    ("post", "gallery_indexgeneration_rebuild"): "change_indexgeneration",
    ("get", "gallery_indexgeneration_progress"): "view_indexgeneration",
}
KINDS = ("view", "add", "change", "delete")


def permission_sets(model: type[models.Model]) -> list[frozenset[str]]:
    """Return every set of the permissions for this model and the one for the index."""
    names = sorted({*(f"{kind}_{model._meta.model_name}" for kind in KINDS), "change_indexgeneration"})
    return [frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]


def account(names: frozenset[str]) -> Client:
    """Somebody of the staff with these permissions alone."""
    user = User.objects.create_user(f"{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def row_of(model: type[models.Model], action: str, seed: int) -> models.Model:
    """Return a new row on which the action changes something."""
    if model is IndexGeneration:
        for _ in range(2):
            generations.activate(generations.start("compact"), images=1, last_embedding=1, manifest={})
        return IndexGeneration.objects.filter(is_active=False).latest("number")
    if model is User:
        return User.objects.create_user(f"row {seed}")
    if model is Group:
        return Group.objects.create(name=f"row {seed}")
    image = add_image(seed, is_hidden=action == "show")
    return image if model is Image else finished(image)


def seen() -> list[Any]:
    """Whatever an action may change: rows and messages to the workers."""
    with workers.connect() as redis:
        messages = redis.llen("gallery")
    return [
        messages,
        list(Image.objects.values_list("pk", "is_hidden", "label")),
        list(Query.objects.values_list("pk", flat=True)),
        list(IndexGeneration.objects.values_list("pk", "is_active")),
        list(User.objects.values_list("pk", flat=True)),
        list(Group.objects.values_list("pk", flat=True)),
    ]


def choose(client: Client, model: type[models.Model], action: str, *rows: str) -> int:
    """Return the status after choosing an action for these rows, and confirming it where that is asked for."""
    chosen = {"action": action, "_selected_action": rows, "post": "yes", "label": "cat"}
    return client.post(reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist"), chosen).status_code


def test_every_action_is_known_here(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = User.objects.create_superuser("all")
    found = {(model, name) for model in site._registry for name in site._registry[model].get_actions(request)}
    assert found == {*ACTIONS, *READING}


@pytest.mark.parametrize(("door", "permission"), DOORS.items(), ids=lambda part: part[1] if len(part) == 2 else "")
def test_a_page_or_button_opens_with_its_permission_alone(door: tuple[str, str], permission: str) -> None:
    method, name = door
    for names in permission_sets(IndexGeneration if "index" in name else Image):
        other = {"view_indexgeneration": "change_indexgeneration"}.get(permission)  # who may change may look, too
        answer = getattr(account(names), method)(reverse(f"admin:{name}"))
        assert (answer.status_code != 403) == bool({permission, other} & names), names


@pytest.mark.parametrize("action", ["download", "table"])
def test_what_is_downloaded_has_to_be_visible(action: str) -> None:
    image = add_image(label="cat")
    for names in permission_sets(Image):
        chosen = {"action": action, "_selected_action": str(image.pk)}
        answer = account(names).post(reverse("admin:gallery_image_changelist"), chosen)
        is_file = answer.headers.get("Content-Disposition", "").startswith("attachment")
        assert is_file is ("view_image" in names or "change_image" in names), names


@pytest.mark.parametrize(("model", "action"), ACTIONS, ids=lambda part: getattr(part, "__name__", part))
def test_an_action_changes_something_with_its_permission_alone(
    model: type[models.Model],
    action: str,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    for seed, names in enumerate(permission_sets(model)):
        row = row_of(model, action, seed)
        is_visible = any(f"{kind}_{model._meta.model_name}" in names for kind in ("view", "change"))
        is_allowed = is_visible and ACTIONS[model, action] in names
        client, before = account(names), seen()
        with django_capture_on_commit_callbacks(execute=True):
            choose(client, model, action, str(row.pk))
        assert (seen() != before) is is_allowed, names


@pytest.mark.parametrize("model", site._registry)
@pytest.mark.parametrize("row", ["no id", "c\0t", "\0", "9" * 40], ids=["text", "NUL inside", "NUL", "40 digits"])
def test_a_selection_that_names_no_row_is_refused(curator: Client, model: type[models.Model], row: str) -> None:
    actions = [name for of, name in ACTIONS if of is model]
    assert {choose(curator, model, action, row) for action in actions} == {400}


@pytest.mark.parametrize("address", ["?label=%00", "?q=c%00t", "?is_hidden__exact=%00", "?o=%00", "?p=%00"])
def test_a_nul_in_an_address_is_refused(curator: Client, address: str) -> None:
    assert curator.get(reverse("admin:gallery_image_changelist") + address).status_code == 400
