"""Before and after a result: the camera, the wait, the last searches of this browser."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import demo
from tests.browser.test_upload import ANSWER_MS, drawn, drop, expect_ten_results
from tests.drills.test_faults_show_in_time import held
from tests.engine.pictures import encoded
from tests.stack import Stack

WAITING = """
from gallery.models import Query
Query.objects.bulk_create(Query(has_picture=False, created_at="2026-01-01T00:00Z") for _ in range(80))
"""
GONE = "from gallery.models import Query; Query.objects.filter(created_at__year=2026, created_at__month=1).delete()"


def test_a_waiting_search_shows_its_picture_its_place_and_how_long_it_takes(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    with held(stack.pids("--queues search")):
        stack.manage("shell", "-c", WAITING).check_returncode()
        drop(page, drawn("clock", 1))
        expect(page.get_by_role("heading", name="Waiting: 80 searches are ahead of yours")).to_be_visible()
        expect(page.get_by_text(re.compile(r"It will take about \d+ seconds\."))).to_be_visible()
        own = page.get_by_alt_text("Your picture")
        expect(own).to_be_visible()
        assert own.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        stack.manage("shell", "-c", GONE).check_returncode()
    expect_ten_results(page)


def test_a_search_that_is_gone_while_it_is_waited_for_says_so(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    with held(stack.pids("--queues search")):
        drop(page, drawn("clock", 1))
        expect(page.locator(".answer[data-state=waiting]")).to_be_visible()
        query_id = page.url.rpartition("/")[2]
        code = f"from gallery.models import Query; Query.objects.filter(pk='{query_id}').delete()"
        stack.manage("shell", "-c", code).check_returncode()
        expect(page.get_by_role("heading", name="This search is no longer here")).to_be_visible()
    page.get_by_role("link", name="Search with a picture").click()
    expect(page).to_have_url(f"{stack.url}/")


def test_the_last_searches_of_this_browser_are_on_the_home_page(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    recent = page.get_by_role("region", name="Your last searches")
    expect(recent).to_have_count(0)
    links = []
    for kind in ("clock", "fish"):
        page.goto(stack.url)
        drop(page, drawn(kind, 0))
        expect_ten_results(page)
        links.append(page.url)
    page.goto(stack.url)
    expect(recent).to_be_visible()
    shown = recent.get_by_role("link")
    assert shown.evaluate_all("links => links.map((link) => link.href)") == links[::-1]
    for picture in recent.get_by_role("img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(recent.get_by_role("img").first).to_have_attribute("alt", "10 like your picture: fish")
    shown.first.click()
    expect(page).to_have_url(links[1])
    page.get_by_text("Delete this search").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(shown).to_have_count(1)
    recent.get_by_role("button", name="Clear the list").click()
    expect(recent).to_have_count(0)
    page.reload()
    expect(recent).to_have_count(0)


def test_somebody_elses_search_is_not_among_them(stack: Stack, page: Page, browser: Browser) -> None:
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    other = browser.new_page()
    other.goto(page.url)
    expect_ten_results(other)
    other.goto(stack.url)
    expect(other.get_by_role("region", name="Your last searches")).to_have_count(0)
    other.context.close()


@pytest.mark.parametrize(
    "kept", ["not JSON", "{}", '[{"link": "https://example.org/", "picture": "/x"}]', "[null]", "[]"]
)
def test_what_another_program_left_in_the_storage_is_no_search(stack: Stack, page: Page, kept: str) -> None:
    page.goto(stack.url)
    page.evaluate("text => localStorage.setItem('simsearch:recent', text)", kept)
    page.reload()
    expect(page.get_by_role("heading", name="Find pictures by picture")).to_be_visible()
    expect(page.get_by_role("region", name="Your last searches")).to_have_count(0)


def test_a_phone_offers_its_camera(stack: Stack, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(stack.url)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photograph").tap()
    field = chooser.value.element
    assert (field.get_attribute("accept"), field.get_attribute("capture")) == ("image/*", "environment")
    chooser.value.set_files(drawn("clock", 0))
    assert expect_ten_results(page)[0] > 0.99
    page.context.close()


def test_a_computer_offers_no_camera(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    expect(page.get_by_label("Choose a picture")).to_be_visible()
    expect(page.get_by_role("button", name="Take a photograph")).to_be_hidden()


def test_a_photograph_that_the_browser_cannot_read_is_sent_as_it_is(stack: Stack, page: Page) -> None:
    """HEIC: Safari scales it down before it is sent, Chromium does not read it."""
    photograph = encoded(demo.picture("clock", 0).resize((3000, 2000)), "HEIF", quality=80)
    page.goto(stack.url)
    drop(page, {"name": "IMG_0001.HEIC", "mimeType": "image/heic", "buffer": photograph})
    expect_ten_results(page)
    expect(page.locator(".card").first).to_contain_text("clock", timeout=ANSWER_MS)
    expect(page.get_by_alt_text("The picture searched for")).to_be_visible()
