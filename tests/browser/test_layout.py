"""Every page on small screens: nothing is cut off, nothing scrolls sideways, long pictures can be seen."""

import io
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.test_upload import ANSWER_MS, drawn, drop, expect_ten_results
from tests.engine.pictures import encoded, noise
from tests.stack import Stack

SIZES = {"phone": (390, 844), "narrow": (320, 640), "on its side": (740, 360), "desktop": (1280, 800)}


@pytest.fixture(params=SIZES.values(), ids=[*SIZES])
def sized(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """Provide a page of that size."""
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    yield page
    page.context.close()


def assert_fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def bottom(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["y"] + box["height"]


def test_no_page_scrolls_sideways(stack: Stack, sized: Page) -> None:
    for address in ("/", "/gallery/", "/gallery/?label=no-such-label", "/x"):
        sized.goto(stack.url + address)
        assert_fits(sized)
    sized.goto(stack.url + "/gallery/")
    sized.locator(".card a").first.click()
    assert_fits(sized)
    sized.goto(f"{stack.url}/api/docs")
    sized.locator(".opblock").first.wait_for()
    assert_fits(sized)
    sized.goto(stack.url)
    drop(sized, drawn("clock", 0))
    expect_ten_results(sized)
    assert_fits(sized)


def test_the_button_is_on_the_first_screen(stack: Stack, sized: Page) -> None:
    sized.goto(stack.url)
    height = sized.evaluate("innerHeight")
    assert bottom(sized.get_by_text("Choose a picture", exact=True)) <= height


def test_the_first_match_is_on_the_first_screen_of_a_phone(stack: Stack, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    assert bottom(page.get_by_role("button", name="Copy link")) < 844 / 3
    assert bottom(page.locator(".card .thumb").first) < 844 * 2 / 3
    page.context.close()


def test_the_first_matches_are_seen_on_a_phone_on_its_side(stack: Stack, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 844, "height": 390})
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    assert bottom(page.locator(".card .thumb").first) <= 390
    page.context.close()


def test_a_picture_has_its_place_before_it_arrives(stack: Stack, sized: Page) -> None:
    sized.goto(f"{stack.url}/gallery/")
    page_of_picture = sized.locator(".card a").first.get_attribute("href")
    sized.route("**/preview.jpg", lambda route: route.abort())
    sized.goto(f"{stack.url}{page_of_picture}")
    without, place = bottom(sized.get_by_role("heading", level=1)), sized.locator(".mat img").bounding_box()
    sized.unroute("**/preview.jpg")
    sized.reload(wait_until="load")
    sized.locator(".mat img").evaluate("image => image.decode()")
    assert abs(bottom(sized.get_by_role("heading", level=1)) - without) < 1
    assert sized.locator(".mat img").bounding_box() == place


def strip(width: int, height: int) -> bytes:
    """Return a long picture whose middle is red."""
    picture = noise(width, height)
    part = (width // 10, height // 3) if width > height else (width // 3, height // 10)
    box = ((width - part[0]) // 2, 0, (width + part[0]) // 2, height)
    if height > width:
        box = (0, (height - part[1]) // 2, width, (height + part[1]) // 2)
    picture.paste("red", box)
    return encoded(picture, "PNG")


@pytest.mark.parametrize("size", [(20000, 20), (20, 12000)], ids=["wide", "tall"])
def test_a_long_picture_is_shown_by_a_readable_part(stack: Stack, sized: Page, size: tuple[int, int]) -> None:
    sized.goto(stack.url)
    name = "strip.png"
    drop(sized, {"name": name, "mimeType": "image/png", "buffer": strip(*size)})
    expect(sized.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    shown = sized.get_by_alt_text("The picture searched for")
    box = shown.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 20
    with Image.open(io.BytesIO(shown.screenshot())) as picture:
        red, green, blue = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))  # type: ignore[misc]
    assert (red > 200, green < 60, blue < 60) == (True, True, True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_documentation_of_the_api_is_for_everyone(stack: Stack, browser: Browser, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{stack.url}/api/docs")
    page.locator(".opblock").first.wait_for()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(248, 248, 246)",
            "dark": "rgb(19, 20, 21)",
        }[scheme]
    )
    for part in (".opblock-summary-control", ".try-out button"):
        assert [(found["id"], found["nodes"]) for found in Axe().run(page).response["violations"]] == []
        page.locator(part).first.click()
    page.context.close()
