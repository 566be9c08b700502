"""The main job in a real browser, against a running system: a picture in, the ten most like it out."""

import base64
import json
import re
from pathlib import Path

from playwright.sync_api import FilePayload, Page, expect

from tests import demo
from tests.drills.test_faults_show_in_time import held
from tests.engine.pictures import encoded, oriented
from tests.stack import Stack

ANSWER_MS = 60_000  # the bound of a busy machine; an idle one takes a tenth of a second


def drawn(kind: str, number: int) -> FilePayload:
    """Return a drawn picture; the gallery of the stack has the first three of each kind."""
    picture = encoded(demo.picture(kind, number), "JPEG", quality=92, subsampling=2)
    return {"name": f"{kind}.jpg", "mimeType": "image/jpeg", "buffer": picture}


def drop(page: Page, file: FilePayload) -> None:
    """Let go of a file over the page, far from the field."""
    data = page.evaluate_handle(
        """([name, type, text]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type }));
            return data;
        }""",
        [file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()],
    )
    page.dispatch_event("footer", "drop", {"dataTransfer": data})


def expect_ten_results(page: Page) -> list[float]:
    """Wait for the answer; returns the similarities, first rank first."""
    expect(page.get_by_role("heading", name="The 10 most similar pictures")).to_be_visible(timeout=ANSWER_MS)
    expect(page).to_have_url(re.compile("/q/[0-9a-f-]{36}$"))
    cards = page.locator(".card")
    expect(cards).to_have_count(10)
    expect(cards.get_by_role("img")).to_have_count(10)
    similarities = [float(text.split()[-1]) for text in cards.locator(".figure").all_inner_texts()]
    assert similarities == sorted(similarities, reverse=True)
    return similarities


def test_a_chosen_picture_gives_ten_results(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    page.get_by_label("Choose a picture").set_input_files(drawn("clock", 0))
    similarities = expect_ten_results(page)
    assert similarities[0] > 0.99
    expect(page.locator(".card").first).to_contain_text("clock")
    expect(page.get_by_alt_text("The picture searched for")).to_be_visible()


def test_a_picture_dropped_on_the_page_gives_ten_results(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("sailing boat", 50))
    expect_ten_results(page)


def test_any_result_leads_to_more_like_it(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("flower", 50))
    expect_ten_results(page)
    first = page.url
    page.locator(".card").nth(1).get_by_role("button", name="More like this").click()
    page.wait_for_url(lambda url: url != first)
    expect_ten_results(page)


def test_the_link_of_a_result_can_be_shared(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("fish", 50))
    expect_ten_results(page)
    page.context.clear_cookies()  # as somebody else
    page.goto(page.url)
    expect_ten_results(page)


def test_a_search_can_be_deleted_with_its_link(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, drawn("fruit", 50))
    expect_ten_results(page)
    link = page.url
    page.get_by_text("Delete this search").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Your search is deleted")
    page.goto(link)
    expect(page.get_by_role("heading", name="This search is no longer here")).to_be_visible()


def test_without_scripts_the_page_gets_there_as_well(stack: Stack, page_without_scripts: Page) -> None:
    page = page_without_scripts
    page.goto(stack.url)
    page.get_by_label("Choose a picture").set_input_files(drawn("house", 50))
    page.get_by_role("button", name="Search", exact=True).click()
    expect_ten_results(page)


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_next_one_results(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop(page, {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all"})
    expect(page.get_by_role("alert")).to_contain_text("The file is not a picture")
    drop(page, drawn("tree", 50))
    expect_ten_results(page)


def test_a_file_too_large_is_not_even_sent(stack: Stack, page: Page, tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    page.goto(stack.url)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_label("Choose a picture").set_input_files(huge)
    expect(page.get_by_role("alert")).to_contain_text("The file is larger than 16 MB")
    assert "POST" not in sent


def note_what_is_sent(page: Page) -> None:
    """Keep the size and the type of the file that the form sends, over the change of the page."""
    page.evaluate(
        """() => document.querySelector("form.drop").addEventListener("submit", () => {
            const file = document.querySelector("form.drop input[type=file]").files[0];
            sessionStorage.setItem("sent", JSON.stringify([file.name, file.type, file.size]));
        })"""
    )


def test_a_large_photograph_is_sent_smaller_and_upright(stack: Stack, page: Page) -> None:
    photograph = oriented(demo.picture("clock", 0).resize((2000, 3000)), "JPEG", 6) + bytes(500_000)
    page.goto(stack.url)
    note_what_is_sent(page)
    drop(page, {"name": "phone.jpg", "mimeType": "image/jpeg", "buffer": photograph})
    expect_ten_results(page)
    name, kind, size = json.loads(page.evaluate("sessionStorage.getItem('sent')"))
    assert (name, kind) == ("phone.jpg", "image/jpeg")
    assert size < len(photograph) / 2
    picture = page.get_by_alt_text("The picture searched for")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [667, 1000]


def test_a_small_picture_is_sent_as_it_is(stack: Stack, page: Page) -> None:
    file = drawn("clock", 0)
    page.goto(stack.url)
    note_what_is_sent(page)
    drop(page, file)
    expect_ten_results(page)
    assert json.loads(page.evaluate("sessionStorage.getItem('sent')"))[2] == len(file["buffer"])


def test_the_browsers_own_copy_is_shown_until_the_server_has_one(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    with held(stack.pids("--queues search")):
        drop(page, drawn("clock", 1))
        expect(page).to_have_url(re.compile("/q/[0-9a-f-]{36}$"))
        expect(page.get_by_alt_text("Your picture")).to_be_visible()
        expect(page.get_by_alt_text("The picture searched for")).to_have_count(0)
    expect_ten_results(page)
    expect(page.get_by_alt_text("The picture searched for")).to_be_visible()
    expect(page.get_by_alt_text("Your picture")).to_have_count(0)
