"""Each state of a search, the map and the search box: axe-core finds nothing, nothing is cut off, keys reach all."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.test_accessible import assert_accessible
from tests.browser.test_layout import assert_fits
from tests.browser.test_upload import ANSWER_MS, drawn, expect_ten_results
from tests.stack import Stack

# Dates, as photographs have them, and places on the map; and without them.
DATED_AND_PLACED = """
from datetime import datetime, timezone
from gallery.models import Image, MapPoint
Image.objects.update(taken_at=datetime(2024, 5, 17, tzinfo=timezone.utc))
images = list(Image.objects.order_by("id"))
MapPoint.objects.bulk_create(MapPoint(image=one, x=n / len(images), y=n * 7 % 10 / 10) for n, one in enumerate(images))
"""
AS_BEFORE = """
from gallery.models import Image, MapPoint
Image.objects.update(taken_at=None)
MapPoint.objects.all().delete()
"""
SHIFTED = """() => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => {
        for (const shift of list.getEntries()) if (!shift.hadRecentInput) sum += shift.value;
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 300);
})"""
# The searched picture has no size in its row; its frame has one.
UNSIZED = "all => all.filter((one) => !one.closest('.frame, .look')).map((one) => one.src)"
MOST_SHIFTED = 0.1  # what web.dev calls good, and where Lighthouse begins to count
# What has the focus, and whether that shows: by an outline of its own or of the zone around the field for files.
FOCUSED = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const shown = [element, element.closest(".drop"), element.closest("label")].filter(Boolean);
    const name = element.id || element.textContent.trim().slice(0, 40) || element.name || element.tagName;
    return [name, shown.some((one) => getComputedStyle(one).outlineStyle !== "none")];
}"""


@pytest.fixture(scope="module")
def stack(stack: Stack) -> Iterator[Stack]:
    """Provide the shared system, whose pictures have dates and places for these tests."""
    stack.manage("shell", "-c", DATED_AND_PLACED).check_returncode()
    yield stack
    stack.manage("shell", "-c", AS_BEFORE).check_returncode()


@pytest.fixture(params=[(390, 844), (1280, 800)], ids=["phone", "desktop"])
def sized(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, height = request.param
    page = browser.new_page(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        is_mobile=width < 500,
        has_touch=width < 500,
    )
    yield page
    page.context.close()


def search(stack: Stack, page: Page, *files: FilePayload) -> str:
    """Search with these files; return the address of the result."""
    page.goto(stack.url)
    page.get_by_label("Choose a picture").evaluate("input => input.multiple = true")
    page.get_by_label("Choose a picture").set_input_files(list(files))
    if len(files) > 1:
        page.get_by_role("button", name="Search with all").click()
    expect(page.locator(".answer:is([data-state=done], [data-state=failed])")).to_be_visible(timeout=ANSWER_MS)
    return page.url


def assert_for_everyone(page: Page) -> None:
    assert_accessible(page)
    assert_fits(page)


def test_axe_finds_nothing_in_any_state(stack: Stack, sized: Page) -> None:
    page = sized
    damaged: FilePayload = {**drawn("clock", 0), "buffer": drawn("clock", 0)["buffer"][:700] + bytes(2000)}
    search(stack, page, damaged)
    expect(page.get_by_role("heading", name="This search did not work")).to_be_visible()
    assert_for_everyone(page)
    result = search(stack, page, drawn("clock", 0))
    for state, heading in (
        ("?label=clock", "most similar pictures"),
        ("?from=1990-01-01&to=1990-01-02", "No match passes these filters"),
        ("?label=no-such-label", "No match passes these filters"),
        ("?show=100", "most similar pictures"),
        ("?crop=0,0,0.5,1", "most similar pictures"),
    ):
        page.goto(result + state)
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        assert_for_everyone(page)
    page.get_by_role("button", name="Search that part").click()
    expect(page.get_by_role("button", name="Search the whole picture")).to_be_visible()
    expect_done(page)
    assert_for_everyone(page)
    search(stack, page, drawn("clock", 1), drawn("flower", 1))
    page.get_by_role("button", name="Refine: less of").first.click()
    expect(page.locator(".part")).to_have_count(3)
    expect_done(page)
    assert_for_everyone(page)
    page.goto(f"{stack.url}/map/?query={result.rpartition('/')[2]}")
    expect(page.locator("#lit")).to_be_visible()
    assert_for_everyone(page)
    page.goto(f"{stack.url}/embed")
    assert_for_everyone(page)


def expect_done(page: Page) -> None:
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)


def test_of_several_files_axe_finds_nothing(stack: Stack, sized: Page) -> None:
    sized.goto(stack.url)
    sized.get_by_label("Choose a picture").evaluate("input => input.multiple = true")
    sized.get_by_label("Choose a picture").set_input_files([drawn("clock", number) for number in range(3)])
    expect(sized.get_by_role("button", name="Search with all 3")).to_be_visible()
    assert_for_everyone(sized)


def test_no_page_moves_while_it_loads(stack: Stack, sized: Page) -> None:
    result = search(stack, sized, drawn("clock", 0))
    picture = sized.locator(".card a.thumb").first.get_attribute("href")
    for address in ("/", "/gallery/", picture, "/map/", "/embed"):
        sized.goto(f"{stack.url}{address}", wait_until="networkidle")
        assert sized.evaluate(SHIFTED) < MOST_SHIFTED, address
    sized.goto(result, wait_until="networkidle")
    assert sized.evaluate(SHIFTED) < MOST_SHIFTED


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
def test_the_smallest_phone_shows_every_page_in_every_language(stack: Stack, browser: Browser, language: str) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640}, locale=language, is_mobile=True, has_touch=True)
    page.goto(stack.url)
    page.locator("form.drop input[type=file]").set_input_files(drawn("clock", 0))
    expect_done(page)
    assert page.evaluate("document.documentElement.lang").lower() == language
    assert_fits(page)
    page.locator("#frame-button").tap()
    expect(page.locator("cropper-canvas")).to_be_visible()
    assert_fits(page)
    page.locator(".card a.thumb").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_fits(page)
    picture = page.locator(".card a.thumb").first.get_attribute("href")
    for address in ("/", "/gallery/", "/map/", "/embed", picture, "/x"):
        page.goto(f"{stack.url}{address}")
        assert_fits(page)
    page.context.close()


def test_a_match_in_large_names_its_date(stack: Stack, page: Page) -> None:
    search(stack, page, drawn("clock", 0))
    expect(page.locator(".card .date").first).to_be_hidden()
    page.locator(".card a.thumb").first.click()
    expect(page.get_by_role("dialog").get_by_text("taken May 17, 2024")).to_be_visible()


def test_pictures_at_the_top_are_not_lazy_and_those_below_are(stack: Stack, page: Page) -> None:
    result = search(stack, page, drawn("clock", 0))
    for address in (f"{result}?show=100", f"{stack.url}/gallery/"):
        page.goto(address)
        lazy = page.locator(".card > a.thumb img").evaluate_all("all => all.map((one) => one.loading === 'lazy')")
        assert len(lazy) > 20
        assert lazy == [False] * 10 + [True] * (len(lazy) - 10)
        assert page.locator("main img:not([width][height]):not([hidden])").evaluate_all(UNSIZED) == []


def test_pages_have_a_description_and_find_all_their_files(stack: Stack, page: Page) -> None:
    missing: list[str] = []
    page.on("response", lambda response: missing.append(response.url) if response.status >= 400 else None)
    for address in ("/", "/gallery/", "/map/", "/embed"):
        page.goto(f"{stack.url}{address}", wait_until="networkidle")
        assert address == "/embed" or page.locator('meta[name="description"]').get_attribute("content")
    assert missing == []


@pytest.mark.parametrize("address", ["/", "/gallery/", "/map/", "/embed", "result", "picture"])
def test_keys_reach_every_control_and_the_focus_is_seen(stack: Stack, page: Page, address: str) -> None:
    is_picture = address == "picture"
    if not address.startswith("/"):
        address = search(stack, page, drawn("clock", 0)).removeprefix(stack.url)
        if is_picture:
            address = page.locator(".card a.thumb").first.get_attribute("href") or ""
    page.goto(f"{stack.url}{address}", wait_until="networkidle")
    reached: list[str] = []
    for _ in range(400):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found is None:
            break
        name, is_seen = found
        assert is_seen, name
        reached.append(name)
    controls = page.locator(
        "a[href]:visible, button:not([disabled]):visible, input:visible, select:visible, summary:visible"
    )
    assert len(reached) >= controls.count()


def test_without_scripts_a_visitor_searches_filters_and_goes_on(stack: Stack, page_without_scripts: Page) -> None:
    page = page_without_scripts
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(stack.url)
    assert_fits(page)
    page.get_by_label("Choose a picture").set_input_files(drawn("clock", 0))
    page.get_by_role("button", name="Search", exact=True).click()
    expect_ten_results(page)
    assert_fits(page)
    page.locator("#filters a[data-filter=clock]").click()
    assert set(page.locator(".card .label").all_inner_texts()) == {"clock"}
    page.get_by_role("link", name="Clear the filters").click()
    page.locator("input[name=from]").fill("2024-05-17")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("from=2024-05-17"))
    expect(page.locator(".card")).to_have_count(10)
    page.get_by_role("link", name="Clear the filters").click()
    first = page.url
    page.get_by_role("button", name="More like this").nth(1).click()
    expect(page).not_to_have_url(first)
    expect_done(page)
    expect(page.locator(".card")).to_have_count(10)
    page.get_by_role("button", name="Refine: less of").first.click()
    expect_done(page)
    expect(page.locator(".part.negative")).to_have_count(1)
    page.locator(".card a.thumb").first.click()
    assert_fits(page)
