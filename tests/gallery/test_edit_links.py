"""The way from a public page to a picture in the admin: for the staff that may change pictures."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from gallery.models import Image, Query
from tests.gallery.elements import HTMX, Elements
from tests.gallery.rows import add_image, finished

pytestmark = pytest.mark.django_db


@pytest.fixture
def image() -> Image:
    return add_image(1, title="Tom", label="cat")


@pytest.fixture
def query(image: Image) -> Query:
    return finished(image)


def account(permission: str, *, is_staff: bool) -> Client:
    user = User.objects.create_user("somebody", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename=permission))
    client = Client()
    client.force_login(user)
    return client


def links(client: Client, image: Image, query: Query) -> list[int]:
    """Return how many links to the picture in the admin its page, the gallery and the page of a search have."""
    wanted = reverse("admin:gallery_image_change", args=[image.pk])
    pages = [client.get(address) for address in (image.get_absolute_url(), "/gallery/", query.get_absolute_url())]
    pages.append(client.get(query.get_absolute_url(), headers=HTMX))  # as it is shown when it is answered
    return [Elements(page).values("href").count(wanted) for page in pages]


def test_who_may_change_pictures_finds_them_in_the_admin(image: Image, query: Query) -> None:
    client = account("change_image", is_staff=True)
    assert links(client, image, query) == [1, 1, 1, 1]
    assert client.get(reverse("admin:gallery_image_change", args=[image.pk])).status_code == 200


@pytest.mark.parametrize(
    ("permission", "is_staff"),
    [("change_image", False), ("view_image", True)],
    ids=["no staff", "may only look"],
)
def test_others_with_an_account_do_not(image: Image, query: Query, permission: str, is_staff: bool) -> None:
    assert links(account(permission, is_staff=is_staff), image, query) == [0, 0, 0, 0]


def test_visitors_do_not_and_cost_no_statement_more(
    visitor: Client, image: Image, query: Query, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert links(visitor, image, query) == [0, 0, 0, 0]
    with django_assert_num_queries(1):
        visitor.get(image.get_absolute_url())
    with django_assert_num_queries(4):  # the row, its matches, their filters, how many pictures were compared
        visitor.get(query.get_absolute_url())
