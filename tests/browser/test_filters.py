"""The filters of a result page in a browser: no page load, a link for each state, and the way back."""

from playwright.sync_api import FilePayload, Page, expect

from tests.demo import jpeg
from tests.stack import Stack

CLOCK: FilePayload = {"name": "clock.jpg", "mimeType": "image/jpeg", "buffer": jpeg("clock", 0)}


def test_a_filter_changes_the_result_without_a_page_load(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    page.set_input_files("input[type=file]", files=[CLOCK])
    page.wait_for_url("**/q/*")  # with its scripts: until they run, a chip is a link that loads a page
    chip = page.locator("#filters a[data-filter]").nth(1)
    expect(chip).to_be_visible(timeout=20_000)
    label, count = chip.get_attribute("data-filter"), int(chip.locator(".count").inner_text())
    page.evaluate("window.isSamePage = true")
    before = page.url
    chip.click()
    page.wait_for_url(f"**label={label}*")
    expect(page.locator(".card .label").first).to_have_text(str(label))
    assert set(page.locator(".card .label").all_inner_texts()) == {label}
    assert page.locator(".card").count() == min(10, count)
    expect(page.locator(f'#filters a[data-filter="{label}"]')).to_be_focused()
    expect(page.locator("#announcement")).to_have_text(page.locator("#answer-title").inner_text())
    page.go_back()
    page.wait_for_url(before)
    expect(page.locator("#filters .clear")).to_be_hidden()
    assert page.evaluate("window.isSamePage")


def test_a_filter_is_a_link_without_scripts(stack: Stack, page: Page, page_without_scripts: Page) -> None:
    page.goto(stack.url)
    page.set_input_files("input[type=file]", files=[CLOCK])
    expect(page.locator("#filters a").first).to_be_visible(timeout=20_000)
    page_without_scripts.goto(page.url)
    chip = page_without_scripts.locator("#filters a[data-filter]").nth(1)
    label = chip.get_attribute("data-filter")
    chip.click()
    assert set(page_without_scripts.locator(".card .label").all_inner_texts()) == {label}
