"""A lost connection, a refusal, a second click: the page stays as it is and says what to do."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_crop import drag, frame_of
from tests.browser.test_upload import ANSWER_MS, drawn, drop, expect_ten_results
from tests.drills.test_faults_show_in_time import held
from tests.stack import Stack

LOST = "The connection was lost. Try again when you are online."


@pytest.fixture
def result(stack: Stack, page: Page) -> Page:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(stack.url)
    drop(page, drawn("clock", 0))
    expect_ten_results(page)
    frame_of(page)
    return page


def frame(page: Page) -> None:
    drag(page, page.locator("cropper-canvas"), (0.5, 0.5), (0.9, 0.9))


def link(page: Page) -> None:
    page.get_by_label("Or paste a link").fill("https://192.0.2.1/a.jpg")
    page.keyboard.press("Enter")


def more_like_a_match_in_large(page: Page) -> None:
    page.locator(".card a.thumb").nth(1).click()
    page.get_by_role("dialog").get_by_role("button", name="More like this").click()


SEARCHES: dict[str, Callable[[Page], None]] = {
    "more like this": lambda page: page.get_by_role("button", name="More like this").nth(2).click(),
    "minus": lambda page: page.get_by_role("button", name="Refine: less of").nth(2).click(),
    "frame": frame,
    "link": link,
    "match in large": more_like_a_match_in_large,
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_that_cannot_be_sent_leaves_the_page(result: Page, name: str) -> None:
    address = result.url
    result.context.set_offline(True)
    SEARCHES[name](result)
    expect(result.get_by_role("alert")).to_have_text(LOST)
    assert result.url.partition("#")[0] == address
    expect(result.locator(".card")).to_have_count(10)


def test_online_again_the_same_button_searches(result: Page) -> None:
    address = result.url
    result.context.set_offline(True)
    SEARCHES["more like this"](result)
    expect(result.get_by_role("alert")).to_have_text(LOST)
    result.context.set_offline(False)
    SEARCHES["more like this"](result)
    expect(result).not_to_have_url(address)
    expect(result.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    expect(result.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("control", ["#show-more", "#filters a"])
def test_more_matches_and_filters_say_so_as_well(result: Page, control: str) -> None:
    address = result.url
    result.context.set_offline(True)
    result.locator(control).first.click()
    expect(result.get_by_role("alert")).to_have_text(LOST)
    assert result.url == address
    expect(result.locator(".card")).to_have_count(10)
    result.context.set_offline(False)
    result.locator(control).first.click()
    expect(result).not_to_have_url(address)


def test_a_refused_link_stays_in_its_field(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    field = page.get_by_label("Or paste a link")
    field.fill("http://127.0.0.1/a.jpg")
    page.get_by_role("button", name="Search by link").click()
    expect(page.get_by_role("alert")).to_contain_text("Only public addresses are tried")
    expect(field).to_have_value("http://127.0.0.1/a.jpg")
    expect(page).to_have_url(f"{stack.url}/")


def test_a_refused_link_stays_in_its_field_without_scripts(stack: Stack, page_without_scripts: Page) -> None:
    page = page_without_scripts
    page.goto(stack.url)
    page.get_by_label("Or paste a link").fill("http://127.0.0.1/a.jpg")
    page.get_by_role("button", name="Search by link").click()
    expect(page.get_by_role("alert")).to_contain_text("Only public addresses are tried")
    expect(page.get_by_label("Or paste a link")).to_have_value("http://127.0.0.1/a.jpg")


def test_a_page_of_the_server_says_what_a_search_no_longer_has(stack: Stack, result: Page) -> None:
    query_id = result.url.rpartition("/")[2]
    code = f"from gallery.models import Query; Query.objects.filter(pk='{query_id}').delete()"
    stack.manage("shell", "-c", code).check_returncode()
    result.get_by_role("button", name="Refine: more of").first.click()
    expect(result.get_by_role("heading", name="There is nothing here")).to_be_visible()


@pytest.mark.parametrize("name", ["More like this", "Refine: less of"])
def test_two_clicks_are_one_search(result: Page, name: str) -> None:
    posts: list[str] = []
    result.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    address = result.url
    result.get_by_role("button", name=name).nth(1).dblclick()
    expect(result).not_to_have_url(address)
    expect(result.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    assert len(posts) == 1


def test_two_clicks_send_one_picture_and_open_no_dialog(stack: Stack, page: Page) -> None:
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.goto(stack.url)
    page.context.set_offline(True)
    drop(page, drawn("clock", 0))
    expect(page.get_by_role("alert")).to_contain_text("Your picture is kept here")
    page.context.set_offline(False)
    posts.clear()
    choosers: list[str] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser.page.url))
    page.get_by_role("button", name="Search", exact=True).dblclick()
    expect_ten_results(page)
    assert (len(posts), choosers) == (1, [])


def test_a_waiting_search_survives_a_reload_and_is_in_two_tabs(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    with held(stack.pids("--queues search")):
        drop(page, drawn("clock", 1))
        expect(page.locator(".answer[data-state=waiting]")).to_be_visible()
        page.reload()
        expect(page.locator(".answer[data-state=waiting]")).to_be_visible()
        with page.expect_popup() as opened:
            page.evaluate("open(location.href)")
        other = opened.value
        expect(other.locator(".answer[data-state=waiting]")).to_be_visible()
    assert expect_ten_results(page) == expect_ten_results(other)


def test_a_frame_goes_back_and_forward(result: Page) -> None:
    whole = result.url
    frame(result)
    result.wait_for_url("**crop=*")
    part = result.url
    frame_of(result)
    result.go_back()
    expect(result).to_have_url(whole)
    frame_of(result)
    assert result.locator("#picture .picture").get_attribute("data-crop") == ""
    result.go_forward()
    expect(result).to_have_url(part)
    frame_of(result)
    assert result.locator("#picture .picture").get_attribute("data-crop") == part.partition("crop=")[2]
