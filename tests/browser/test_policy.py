"""A real browser finds nothing on any page that the Content-Security-Policy forbids."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_upload import drawn, drop, expect_ten_results
from tests.stack import Stack

SECRET = "browsers-read-policies"


@pytest.fixture
def violations(page: Page) -> Iterator[list[str]]:
    """Provide what the browser refused so far; empty at the end."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if "Content Security" in message.text else None)
    yield messages
    assert messages == []


@pytest.mark.usefixtures("violations")
def test_searching_and_browsing_keep_the_policy(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    page.get_by_role("button", name="Copy link").click()
    for address in ("/gallery/", "/x"):
        page.goto(stack.url + address)
    page.goto(stack.url + "/gallery/")
    page.locator(".card a").first.click()
    expect(page.get_by_role("button", name="More like this", exact=True)).to_be_visible()


@pytest.mark.usefixtures("violations")
def test_the_documentation_of_the_api_keeps_the_policy(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/api/docs")
    page.get_by_text("/api/queries").first.click()
    page.get_by_role("button", name="Try it out").click()
    expect(page.get_by_role("button", name="Execute")).to_be_visible()


@pytest.mark.usefixtures("violations")
def test_the_desk_keeps_the_policy(stack: Stack, page: Page, tmp_path: Path) -> None:
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    created = stack.manage("createsuperuser", "--noinput", "--username", "policy", "--email", "policy@example.org")
    assert created.returncode == 0, created.stderr
    page.goto(f"{stack.url}/admin/")
    page.get_by_label("Username").fill("policy")
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    for address in ("image/", "image/add/", "query/", "indexgeneration/"):
        page.goto(f"{stack.url}/admin/gallery/{address}")
    page.goto(f"{stack.url}/admin/gallery/image/")
    page.locator("#result_list tbody tr a").first.click()
    expect(page.get_by_label("Title")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete")).to_be_visible()


def test_a_script_in_the_page_would_not_run_and_would_be_reported(
    stack: Stack, page: Page
) -> None:  # or the tests above could not fail
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(stack.url)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        }"""
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in messages)
