"""What people let go of over the page: folders, several files, links, text; and what they paste."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import demo
from tests.browser.test_upload import ANSWER_MS, drawn, expect_ten_results
from tests.demo import jpeg
from tests.engine.pictures import encoded, noise
from tests.stack import Stack

Drop = Callable[..., None]


@pytest.fixture
def drop_from_disk(page: Page) -> Drop:
    """Drag files or a folder from the desktop onto the page, as the operating system does it."""

    def drop(*paths: Path) -> None:
        session = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "x": 20, "y": 200, "data": data})

    return drop


def drop_files(page: Page, *names: str) -> None:
    """Let go of several small files at once."""
    data = page.evaluate_handle(
        """(names) => {
            const data = new DataTransfer();
            for (const name of names) {
                const type = name.endsWith(".txt") ? "text/plain" : "image/jpeg";
                data.items.add(new File([name], name, { type }));
            }
            return data;
        }""",
        list(names),
    )
    page.dispatch_event("footer", "drop", {"dataTransfer": data})


def drop_text(page: Page, event: str = "drop", **texts: str) -> None:
    """Let go of, or paste, a text or a link."""
    page.evaluate(
        """([kind, texts]) => {
            const data = new DataTransfer();
            for (const [type, text] of Object.entries(texts)) data.setData(type, text);
            const options = { bubbles: true, cancelable: true };
            const event = kind === "paste" ? new ClipboardEvent(kind, { ...options, clipboardData: data })
                                           : new DragEvent(kind, { ...options, dataTransfer: data });
            document.querySelector("footer").dispatchEvent(event);
        }""",
        [event, {kind.replace("_", "/"): text for kind, text in texts.items()}],
    )


def test_a_folder_with_one_picture_is_searched_with_it(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    folder = tmp_path / "holidays"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(jpeg("clock", 5))
    (folder / "deep" / "deeper" / "clock.jpg").write_bytes(jpeg("clock", 0))
    page.goto(stack.url)
    drop_from_disk(folder)
    assert expect_ten_results(page)[0] > 0.99
    expect(page.locator(".card").first).to_contain_text("clock")


def test_of_a_folder_with_pictures_one_is_chosen(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    for number in range(130):  # more than a browser reads of a folder at once
        (tmp_path / f"IMG_{number}.jpg").write_bytes(jpeg("clock", 0) if number == 2 else b"\xff\xd8\xff")
    page.goto(stack.url)
    drop_from_disk(tmp_path)
    expect(page.get_by_role("heading", name="130 pictures. Choose one to search with.")).to_be_focused()
    names = page.locator(".choice li").all_inner_texts()
    assert names == [f"IMG_{number}.jpg" for number in range(130)]
    page.get_by_role("button", name="IMG_2.jpg", exact=True).click()
    assert expect_ten_results(page)[0] > 0.99


def test_a_folder_dropped_on_a_result_is_read_as_well(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    page.goto(stack.url)
    page.get_by_label("Choose a picture").set_input_files(drawn("fish", 50))
    expect_ten_results(page)
    first = page.url
    (tmp_path / "clock.jpg").write_bytes(jpeg("clock", 0))
    drop_from_disk(tmp_path)
    page.wait_for_url(lambda url: url != first)
    assert expect_ten_results(page)[0] > 0.99


def test_a_folder_without_pictures_gets_a_sentence(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.goto(stack.url)
    drop_from_disk(tmp_path)
    expect(page.get_by_role("alert")).to_have_text("That folder has no pictures. Choose another one.")
    expect(page).to_have_url(f"{stack.url}/")


def test_a_named_pipe_is_not_sent_without_end(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    page.goto(stack.url)
    drop_from_disk(tmp_path / "pipe.jpg")
    expect(page.get_by_role("alert")).to_have_text("The file is empty; choose a picture and send it again.")
    (tmp_path / "clock.jpg").write_bytes(jpeg("clock", 0))
    drop_from_disk(tmp_path)
    assert expect_ten_results(page)[0] > 0.99


def test_what_cannot_be_read_is_named(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    (tmp_path / "$&.jpg").symlink_to("/nowhere")
    page.goto(stack.url)
    drop_from_disk(tmp_path / "$&.jpg")
    expect(page.get_by_role("alert")).to_have_text("Not readable: $&.jpg. Choose another file.")
    (tmp_path / "empty.jpg").touch()
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg("clock", 0))
    drop_from_disk(tmp_path)
    expect(page.get_by_role("heading", name="2 pictures. Choose one to search with.")).to_be_visible()
    expect(page.locator(".choice .note")).to_contain_text("empty.jpg")


def test_a_file_that_is_gone_when_it_is_sent_again_is_named(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    (file := tmp_path / "clock.jpg").write_bytes(jpeg("clock", 0))
    page.goto(stack.url)
    page.context.set_offline(True)
    drop_from_disk(file)
    expect(page.get_by_role("alert")).to_contain_text("Your picture is kept here")
    file.unlink()
    page.context.set_offline(False)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Not readable: clock.jpg. Choose another file.")


def test_of_more_pictures_than_are_listed_there_is_a_word(
    stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path
) -> None:
    for number in range(230):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8\xff")
    page.goto(stack.url)
    drop_from_disk(tmp_path)
    expect(page.locator(".choice li")).to_have_count(200)
    expect(page.locator(".choice .note")).to_have_text("There are more; these are the first ones.")


def test_of_thirty_files_one_is_chosen(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(30)]
    for path in paths:
        path.write_bytes(jpeg("clock", 0))
    page.goto(stack.url)
    drop_from_disk(*paths)
    expect(page.locator(".choice li")).to_have_count(30)
    expect(page.get_by_role("button", name="Search with all")).to_have_count(0)  # a search takes ten
    page.get_by_role("button", name="17.jpg", exact=True).click()
    assert expect_ten_results(page)[0] > 0.99


def test_a_png_of_40_megapixels_is_searched(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    demo.picture("clock", 0).convert("L").resize((8000, 5000)).save(tmp_path / "large.png", compress_level=0)
    assert (tmp_path / "large.png").stat().st_size > 20_000_000  # larger than an upload may be
    page.goto(stack.url)
    drop_from_disk(tmp_path / "large.png")
    expect_ten_results(page)
    expect(page.locator(".card").first).to_contain_text("clock")


def test_a_picture_from_the_desktop_is_searched(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    (tmp_path / "clock.jpg").write_bytes(jpeg("clock", 0))
    page.goto(stack.url)
    drop_from_disk(tmp_path / "clock.jpg")
    assert expect_ten_results(page)[0] > 0.99


def test_of_several_files_one_is_chosen_and_none_is_dropped_without_a_word(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    drop_files(page, "b.jpg", "a.jpg", "notes.txt")
    expect(page.get_by_role("heading", name="2 pictures. Choose one to search with.")).to_be_visible()
    expect(page.locator(".choice .note")).to_have_text("Other files: 1. They are not pictures and are left out.")
    assert page.locator(".choice li").all_inner_texts() == ["a.jpg", "b.jpg"]
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".choice")).to_be_hidden()
    drop_files(page, "notes.txt", "more.txt")
    expect(page.get_by_role("alert")).to_have_text("None of these files is a picture. Choose a picture.")


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({"text_plain": "my holidays"}, "That is text. "),
        ({"text_uri-list": "file:///home/me/a.jpg", "text_plain": "file:///home/me/a.jpg"}, "That is a link. "),
    ],
    ids=["text", "link"],
)
@pytest.mark.parametrize("event", ["drop", "paste"])
def test_text_and_links_get_a_sentence(
    stack: Stack, page: Page, event: str, texts: dict[str, str], sentence: str
) -> None:
    page.goto(stack.url)
    drop_text(page, event, **texts)
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page).to_have_url(f"{stack.url}/")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_link_is_searched_and_one_that_leads_nowhere_says_so(stack: Stack, page: Page, event: str) -> None:
    page.goto(stack.url)
    drop_text(page, event, **{"text_uri-list": "https://pictures.invalid/", "text_plain": "https://pictures.invalid/"})
    page.wait_for_url(f"{stack.url}/q/*")
    expect(page.get_by_text("No picture could be fetched from there.")).to_be_visible(timeout=20_000)


def test_a_picture_of_another_page_is_searched_by_its_own_link(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    html = '<a href="https://page.invalid/"><img src="http://127.0.0.1/a.jpg"></a>'
    drop_text(page, **{"text_html": html, "text_uri-list": "https://page.invalid/"})
    expect(page.get_by_role("alert")).to_contain_text("Only public addresses are tried")  # so it was the picture's


def test_the_field_for_a_link_works_without_scripts(stack: Stack, page_without_scripts: Page) -> None:
    page = page_without_scripts
    page.goto(stack.url)
    page.get_by_label("Or paste a link to a picture").fill("https://pictures.invalid/a.jpg")
    page.get_by_role("button", name="Search by link").click()
    page.wait_for_url(f"{stack.url}/q/*")


def test_several_files_are_searched_together(stack: Stack, page: Page, drop_from_disk: Drop, tmp_path: Path) -> None:
    for kind in ("clock", "tree"):
        (tmp_path / f"{kind}.jpg").write_bytes(jpeg(kind, 0))
    page.goto(stack.url)
    drop_from_disk(tmp_path / "clock.jpg", tmp_path / "tree.jpg")
    page.get_by_role("button", name="Search with all 2 together").click()
    expect_ten_results(page)
    expect(page.locator(".part img")).to_have_count(2)
    labels = page.locator(".card .label").all_inner_texts()
    assert {"clock", "tree"} <= set(labels)


def test_a_slow_upload_shows_how_far_it_is(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", limits)
    page.evaluate(
        """() => {
            window.seen = [];
            const bar = document.querySelector(".drop progress");
            new MutationObserver(() => bar.hidden || window.seen.push(bar.value)).observe(bar, { attributes: true });
            window.addEventListener("pagehide", () => sessionStorage.setItem("seen", JSON.stringify(window.seen)));
        }"""
    )
    file = encoded(noise(360, 330), "PNG")
    assert 300_000 < len(file) < 400_000
    page.get_by_label("Choose a picture").set_input_files({"name": "n.png", "mimeType": "image/png", "buffer": file})
    expect(page.get_by_role("progressbar", name="Sent")).to_be_visible()
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    seen = json.loads(page.evaluate("sessionStorage.getItem('seen')"))
    assert len(seen) >= 3
    assert seen == sorted(seen)
    assert 0 < seen[0] < 1


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_picture_outlives_a_busy_proxy(stack: Stack, page: Page, status: int) -> None:
    page.goto(stack.url)
    page.route(
        f"{stack.url}/", lambda route: route.fulfill(status=status, content_type="text/html", body="<h1>no</h1>")
    )
    page.get_by_label("Choose a picture").set_input_files(drawn("clock", 0))
    expect(page.get_by_role("alert")).to_contain_text("The server is busy. Your picture is kept here")
    page.unroute(f"{stack.url}/")
    page.get_by_role("button", name="Search", exact=True).click()
    assert expect_ten_results(page)[0] > 0.99


def test_a_picture_outlives_a_lost_connection(stack: Stack, page: Page) -> None:
    page.goto(stack.url)
    page.context.set_offline(True)
    page.get_by_label("Choose a picture").set_input_files(drawn("clock", 0))
    expect(page.get_by_role("alert")).to_contain_text("Your picture is kept here")
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Search", exact=True).click()
    assert expect_ten_results(page)[0] > 0.99
