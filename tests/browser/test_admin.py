"""The admin in a real browser, with the worker of a running system."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.stack import Stack

SECRET = secrets.token_urlsafe()
MANY = 1500
CODE = "of-the-test-of-many-rows"
MAKE = f"""
from gallery.models import Query
Query.objects.bulk_create(
    Query(has_picture=False, state="failed", error_code="{CODE}", error="Made by a test.") for _ in range({MANY})
)
"""


@pytest.fixture
def query_list(stack: Stack, page: Page) -> Iterator[Page]:
    """Provide a signed-in page with the list of this test's queries; the browser breaks no policy."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if "Content Security" in message.text else None)
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    name = f"curator-{secrets.token_hex(4)}"
    stack.manage("createsuperuser", "--noinput", "--username", name, "--email", "c@example.org").check_returncode()
    stack.manage("shell", "-c", MAKE).check_returncode()
    page.goto(f"{stack.url}/admin/login/?next=/admin/gallery/query/%3Ferror_code={CODE}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    yield page
    assert messages == []


def test_many_rows_are_deleted_while_the_list_shows_how_far_it_is(stack: Stack, query_list: Page) -> None:
    rows = "SELECT count(*) FROM gallery_query WHERE error_code = %s"
    assert stack.rows(rows, CODE) == [(MANY,)]
    query_list.locator("#action-toggle").check()
    query_list.get_by_text(f"Select all {MANY} queries").click()
    query_list.get_by_label("Action:").select_option("delete_selected")
    query_list.get_by_role("button", name="Go").click()
    expect(query_list.get_by_text("Delete 1,500 queries?")).to_be_visible()
    query_list.get_by_role("button", name="Yes, delete 1,500").click()
    expect(query_list.get_by_text("1,500 rows are being changed.")).to_be_visible()
    expect(query_list.get_by_text("Delete: 1,500 done")).to_be_visible(timeout=60_000)
    assert stack.rows(rows, CODE) == [(0,)]
    query_list.get_by_role("link", name="Load the list again").click()
    expect(query_list.get_by_text("0 queries", exact=True).first).to_be_visible()
