"""axe-core finds nothing on any page, in any state, in light and dark; and the page of a result stays small."""

import gzip
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import DEFAULT_OPTIONS, Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_upload import drawn, drop, expect_ten_results
from tests.drills.test_faults_show_in_time import held
from tests.stack import Stack

MOST_BYTES = 60_000  # of the page of a result with its scripts and styles, compressed, without pictures


# Colours that are on their way to another scheme have no contrast. The end of one may start that of an element inside.
FINISH = """() => {
    const changing = () => document.getAnimations().filter((one) => one instanceof CSSTransition);
    for (let round = 0, found = changing(); found.length && round < 20; round++, found = changing())
        for (const one of found) one.finish();
}"""
Scheme = Literal["light", "dark"]
# In dark nothing but colours is another: a page has the same elements in both.
COLOURS: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
SCHEMES: tuple[tuple[Scheme, dict[str, object]], ...] = (("light", {}), ("dark", COLOURS))


def assert_accessible(page: Page) -> None:
    """Have axe look at the page in light, and at its colours in dark: they change without loading it once more."""
    for scheme, rules in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(FINISH)
        found = Axe().run(page, options=DEFAULT_OPTIONS | rules).response["violations"]
        assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == [], (page.url, scheme)


@pytest.mark.parametrize("is_phone", [False, True], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_any_page(stack: Stack, browser: Browser, is_phone: bool) -> None:
    size = {"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 800}
    page = browser.new_page(
        reduced_motion="reduce",  # or a card that appears has too little contrast
        viewport=size,  # type: ignore[arg-type]
        is_mobile=is_phone,
        has_touch=is_phone,
    )
    page.goto(stack.url)
    assert_accessible(page)
    drop(page, {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all"})
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    assert_accessible(page)
    with held(stack.pids("--queues search")):
        drop(page, drawn("clock", 1))
        expect(page.locator(".answer[data-state=waiting]")).to_be_visible()
        assert_accessible(page)
    expect_ten_results(page)
    if is_phone:
        assert_accessible(page)
        page.get_by_role("button", name="Search a part").tap()
    expect(page.locator("cropper-canvas")).to_be_visible()
    assert_accessible(page)
    page.get_by_text("Delete this search").click()
    assert_accessible(page)
    page.locator(".card a.thumb").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".card")).to_have_count(20)
    assert_accessible(page)
    for address in (
        "/",
        "/gallery/?q=clock&sort=label",
        "/gallery/?q=no-such-word",
        "/x",
        f"/q/{'0' * 8}-0000-4000-8000-{'0' * 12}",
    ):
        page.goto(stack.url + address)
        assert_accessible(page)
    page.goto(f"{stack.url}/gallery/")
    page.locator(".card a.thumb").first.click()
    expect(page.locator(".beside .card")).to_have_count(10)
    assert_accessible(page)
    page.context.close()


def test_the_page_of_a_result_is_small(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    sizes: dict[str, int] = {}
    page.on(
        "response",
        lambda response: (
            sizes.update({response.url: len(gzip.compress(response.body()))})
            if response.request.resource_type in {"document", "script", "stylesheet", "fetch", "xhr"}
            else None
        ),
    )
    page.reload(wait_until="networkidle")
    expect(page.locator("cropper-canvas")).to_be_visible()
    assert [url for url in sizes if "/cropper" in url]
    assert sum(sizes.values()) < MOST_BYTES, sizes
