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

from gallery.curation import generations
from gallery.models import Image, IndexGeneration, Query
from gallery.operations import workers
from tests.gallery.rows import add_image, finished

pytestmark = pytest.mark.django_db

# The one permission that each action asks for; beside it, the list itself has to be visible.
ACTIONS: dict[tuple[type[models.Model], str], str] = {
    (Image, "delete_selected"): "delete_image",
    (Image, "hide"): "change_image",
    (Image, "show"): "change_image",
    (Image, "rebuild_index"): "change_indexgeneration",
    (IndexGeneration, "rebuild_index"): "change_indexgeneration",
    (IndexGeneration, "roll_back"): "change_indexgeneration",
    (Query, "delete_selected"): "delete_query",
    (User, "delete_selected"): "delete_user",
    (Group, "delete_selected"): "delete_group",
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
        return IndexGeneration.objects.latest("number")
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
        list(Image.objects.values_list("pk", "is_hidden")),
        list(Query.objects.values_list("pk", flat=True)),
        list(IndexGeneration.objects.values_list("pk", "is_active")),
        list(User.objects.values_list("pk", flat=True)),
        list(Group.objects.values_list("pk", flat=True)),
    ]


def choose(client: Client, model: type[models.Model], action: str, *rows: str) -> int:
    """Return the status after choosing an action for these rows, and confirming it where that is asked for."""
    chosen = {"action": action, "_selected_action": rows, "post": "yes"}
    return client.post(reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist"), chosen).status_code


def test_every_action_is_known_here(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = User.objects.create_superuser("all")
    found = {(model, name) for model in site._registry for name in site._registry[model].get_actions(request)}
    assert found == set(ACTIONS)


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
