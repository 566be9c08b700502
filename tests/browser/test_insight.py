"""The pages about the gallery as a whole in a real browser, with the workers of a running system."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_accessible import assert_accessible
from tests.browser.test_layout import assert_fits
from tests.demo import picture
from tests.stack import Stack

SECRET = secrets.token_urlsafe()
PAGES = ("dashboard", "duplicates", "mislabels", "map", "evaluation")
RUN_MS = 120_000
CLEAN = "from gallery.models import Image; Image.objects.filter(title__startswith='small ').delete()"


@pytest.fixture(scope="module")
def stack(changed_stack: Stack) -> Stack:
    """Return the system whose gallery these tests change."""
    return changed_stack


@pytest.fixture(scope="module")
def analysed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Add a small copy of a picture and one with a wrong label to a running system, and a curator."""
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    stack.manage("createsuperuser", "--noinput", "--username", "insider", "--email", "i@example.org").check_returncode()
    folder = tmp_path_factory.mktemp("planted")
    for label, name, kind in (("clock", "small clock", "clock"), ("tree", "small mislabel", "clock")):
        (folder / label).mkdir()
        number = 0 if name == "small clock" else 5
        picture(kind, number).resize((320, 240)).save(folder / label / f"{name}.jpg")
    stack.manage("import_images", str(folder)).check_returncode()
    stack.manage("build_index").check_returncode()
    yield stack
    stack.manage("shell", "-c", CLEAN).check_returncode()


def log_in(stack: Stack, page: Page, name: str) -> None:
    page.goto(f"{stack.url}/admin/login/?next=/admin/{name}/")
    page.get_by_label("Username").fill("insider")
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def desk(analysed: Stack, page: Page) -> Iterator[Page]:
    """Open a page of a curator; nothing that the browser does breaks the policy."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if "Content Security" in message.text else None)
    log_in(analysed, page, "duplicates")
    yield page
    assert told == []


def test_duplicates_are_looked_for_and_hidden(analysed: Stack, desk: Page) -> None:
    desk.get_by_role("button", name="Look for duplicates").click()
    group = desk.locator(".group", has=desk.get_by_text("small clock"))
    expect(group).to_be_visible(timeout=RUN_MS)
    expect(group.get_by_role("radio").first).to_be_checked()
    group.get_by_role("button", name="Hide the others").click()
    expect(desk.get_by_text("1 picture hidden.")).to_be_visible()
    expect(group).to_be_hidden()
    assert analysed.rows("SELECT count(*) FROM gallery_image WHERE is_hidden AND title = %s", "small clock") == [(1,)]


def test_a_wrong_label_is_found_and_changed(analysed: Stack, desk: Page) -> None:
    desk.goto(f"{analysed.url}/admin/mislabels/")
    desk.get_by_role("button", name="Look for wrong labels").click()
    suspect = desk.locator(".group", has=desk.get_by_text("small mislabel"))
    suspect.get_by_role("button", name="Change to “clock”").click(timeout=RUN_MS)
    expect(desk.get_by_text("The label is “clock” now.")).to_be_visible()
    assert analysed.rows("SELECT label FROM gallery_image WHERE title = %s", "small mislabel") == [("clock",)]


@pytest.mark.parametrize(("name", "button"), [("map", "Draw the map"), ("evaluation", "Measure the search quality")])
def test_an_analysis_is_followed_to_its_end(analysed: Stack, desk: Page, name: str, button: str) -> None:
    desk.goto(f"{analysed.url}/admin/{name}/")
    desk.get_by_role("button", name=button).click()
    expect(desk.get_by_role("button", name="Look again")).to_be_visible(timeout=RUN_MS)
    expect(desk.locator(".errornote")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_fit_and_are_for_everyone(analysed: Stack, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    log_in(analysed, page, PAGES[0])
    for name in PAGES:
        page.goto(f"{analysed.url}/admin/{name}/")
        assert_fits(page)
        assert_accessible(page)
    page.context.close()
