"""What a result offers: a match in large, more matches, a link to share; and the neighbours of a gallery picture."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_upload import ANSWER_MS, drawn, drop, expect_ten_results
from tests.stack import Stack


@pytest.fixture
def result(stack: Stack, page: Page) -> Page:
    """Return the page of a finished search."""
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    return page


def test_a_click_shows_a_match_in_large_beside_the_searched_picture(result: Page) -> None:
    page = result
    page.locator(".card a.thumb").nth(1).click()
    dialog = page.get_by_role("dialog", name="Match 2 of 10")
    expect(dialog).to_be_visible()
    expect(page).to_have_url(re.compile(r"#match-2$"))
    for picture in dialog.get_by_role("img").all():
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    expect(dialog.locator(".figure")).to_have_text(page.locator(".card .figure").nth(1).text_content() or "")
    expect(dialog.locator(".name .title")).to_have_text(page.locator(".card .title").nth(1).inner_text())
    assert page.request.get(dialog.get_by_role("link", name="Download").evaluate("link => link.href")).ok
    dialog.get_by_role("link", name="Page of this picture").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("/gallery/[0-9a-f-]{36}$"))


def test_arrow_keys_go_from_match_to_match_and_escape_closes(result: Page) -> None:
    page = result
    link = page.locator(".card a.thumb").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Match 1 of 10")).to_be_visible()
    expect(page.get_by_role("button", name="Previous match")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="Match 3 of 10")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog", name="Match 2 of 10")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(link).to_be_focused()
    expect(page).to_have_url(re.compile("/q/[0-9a-f-]{36}$"))


def test_the_link_of_a_match_in_large_opens_it(result: Page) -> None:
    result.goto(f"{result.url}#match-4")
    result.reload()
    expect(result.get_by_role("dialog", name="Match 4 of 10")).to_be_visible()


def test_back_closes_a_match_and_forward_opens_it(result: Page) -> None:
    address = result.url
    result.locator(".card a.thumb").nth(1).click()
    dialog = result.get_by_role("dialog")
    expect(dialog).to_be_visible()
    result.keyboard.press("ArrowRight")
    expect(result).to_have_url(f"{address}#match-3")
    result.go_back()
    expect(dialog).to_have_count(0)
    expect(result).to_have_url(address)
    result.go_forward()
    expect(result.get_by_role("dialog", name="Match 3 of 10")).to_be_visible()
    result.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(result).to_have_url(address)
    expect(result.locator(".card")).to_have_count(10)


def test_a_match_in_large_leaves_the_filters_as_they_are(result: Page) -> None:
    result.locator("#filters a").first.click()
    expect(result.locator("#filters a[aria-current]")).to_have_count(1)
    address = result.url
    requests: list[str] = []
    result.on("request", lambda request: requests.append(request.url) if request.resource_type == "fetch" else None)
    for leave in ("Escape", "Back"):
        result.locator(".card a.thumb").first.click()
        expect(result.get_by_role("dialog")).to_be_visible()
        if leave == "Back":
            result.go_back()
        else:
            result.keyboard.press(leave)
        expect(result.get_by_role("dialog")).to_have_count(0)
        expect(result).to_have_url(address)
    assert requests == []
    result.go_back()
    expect(result.locator("#filters a[aria-current]")).to_have_count(0)


def test_from_large_there_is_more_like_this(result: Page) -> None:
    first = result.url
    result.locator(".card a.thumb").nth(1).click()
    result.get_by_role("dialog").get_by_role("button", name="More like this").click()
    result.wait_for_url(lambda url: not url.startswith(first))
    expect_ten_results(result)


def test_a_swipe_goes_to_the_next_match(stack: Stack, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    page.locator(".card a.thumb").first.tap()
    expect(page.get_by_role("dialog", name="Match 1 of 10")).to_be_visible()
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", 300), ("touchMove", 200), ("touchEnd", 0)):
        points = [{"x": x, "y": 300}] if x else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.get_by_role("dialog", name="Match 2 of 10")).to_be_visible()
    page.context.close()


def test_show_more_appends_ten_until_there_are_no_more(result: Page) -> None:
    page = result
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".card")).to_have_count(20)
    expect(page.get_by_role("heading", name="The 20 most similar pictures")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?show=20$"))
    expect(page.locator("#rank-11 a.thumb")).to_be_focused()
    expect(page.locator("#announcement")).to_have_text("The 20 most similar pictures")
    ranks = page.locator(".card").evaluate_all("cards => cards.map((card) => card.id)")
    assert ranks == [f"rank-{rank}" for rank in range(1, 21)]
    page.reload()
    expect(page.locator(".card")).to_have_count(20)
    while page.get_by_role("link", name="Show more").count():
        before = page.locator(".card").count()
        page.get_by_role("link", name="Show more").click()
        expect(page.locator(".card").nth(before)).to_be_visible()
    assert 20 < page.locator(".card").count() <= 60


def test_without_scripts_show_more_is_a_link(stack: Stack, page_without_scripts: Page) -> None:
    page = page_without_scripts
    page.goto(stack.url)
    page.get_by_label("Choose a picture").set_input_files(drawn("clock", 1))
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".card")).to_have_count(20)


def test_the_link_is_shared_where_the_browser_can(stack: Stack, page: Page) -> None:
    page.add_init_script("navigator.share = async (shared) => { window.shared = shared; };")
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    page.get_by_role("button", name="Share").click()
    assert page.evaluate("window.shared.url") == page.url


def test_a_gallery_picture_shows_its_ten_neighbours(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/gallery/")
    page.locator(".card a.thumb").first.click()
    address = page.url
    expect(page.get_by_role("heading", level=2, name="The 10 most similar pictures")).to_be_visible(timeout=ANSWER_MS)
    expect(page.locator(".beside .card")).to_have_count(10)
    assert address not in page.locator(".beside .card a.thumb").evaluate_all("links => links.map((link) => link.href)")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page).to_have_url(address)
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".card")).to_have_count(20)


MAKE = """
from gallery.models import Image
Image.objects.bulk_create(
    Image(content_hash=f"scrolled {n}", title=f"scrolled {n:03}", width_px=4, height_px=3, problem="A test's.")
    for n in range(99)
)
"""
REMOVE = "from gallery.models import Image; Image.objects.filter(content_hash__startswith='scrolled ').delete()"


@pytest.fixture
def large_gallery(stack: Stack) -> Iterator[None]:
    """Rows for more than two pages."""
    stack.manage("shell", "-c", MAKE).check_returncode()
    yield
    stack.manage("shell", "-c", REMOVE).check_returncode()


@pytest.mark.usefixtures("large_gallery")
def test_the_gallery_goes_on_while_it_is_scrolled(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/gallery/?q=scrolled&sort=title")
    for seen in (48, 96, 99):
        expect(page.locator(".card")).to_have_count(seen)
        page.locator(".card").last.scroll_into_view_if_needed()
    titles = page.locator(".card .title").all_inner_texts()
    assert titles == [f"scrolled {number:03}" for number in range(99)]
    page.goto(f"{stack.url}/gallery/")
    page.get_by_role("searchbox").fill("clock")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".card")).to_have_count(3)


@pytest.mark.usefixtures("large_gallery")
def test_a_gallery_that_cannot_go_on_says_so_and_goes_on_when_it_can(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/gallery/?q=scrolled")
    page.context.set_offline(True)
    page.locator(".card").last.scroll_into_view_if_needed()
    expect(page.get_by_role("alert")).to_have_text("The connection was lost. Try again when you are online.")
    page.context.set_offline(False)
    expect(page.locator(".card")).to_have_count(96)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 3")).to_be_visible()


@pytest.mark.parametrize(
    "clipboard", ["null", "{ writeText: () => Promise.reject(new DOMException('', 'NotAllowedError')) }"]
)
def test_a_link_is_copied_where_a_page_gets_no_clipboard(result: Page, clipboard: str) -> None:
    """As over plain HTTP, and where a person has refused it."""
    page = result
    page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})")
    page.get_by_role("button", name="Copy link").dblclick()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()  # after two seconds
    field = page.get_by_role("textbox").first
    field.focus()
    page.keyboard.press("Control+V")
    expect(field).to_have_value(page.url)
