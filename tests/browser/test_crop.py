"""The frame on the picture that is searched with: mouse, touch and keys; its link; what the part finds."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests import demo
from tests.browser.test_upload import ANSWER_MS, drop
from tests.stack import Stack

FRAMED = re.compile(r"/q/[0-9a-f-]{36}\?crop=[\d.,]+$")


def side_by_side(left: Image.Image, right: Image.Image) -> bytes:
    """Two pictures beside each other, each as a square."""
    both = Image.new("RGB", (800, 400))
    for place, picture in ((0, left), (400, right)):
        both.paste(picture.resize((400, 400)), (place, 0))
    both.save(file := io.BytesIO(), "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture
def composite() -> FilePayload:
    """Return a flower beside a clock, both of which the gallery of the stack has."""
    data = side_by_side(demo.picture("flower", 0), demo.picture("clock", 0))
    return {"name": "both.jpg", "mimeType": "image/jpeg", "buffer": data}


def frame_of(page: Page) -> Locator:
    """Return the frame, once there is a result."""
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    frame = page.locator("cropper-canvas")
    expect(frame).to_be_visible()
    return frame


def drag(page: Page, frame: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse from one place of the picture to another, as fractions of it."""
    box = frame.bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=8)
    page.mouse.up()


def expect_found(page: Page, label: str) -> list[float]:
    """Wait for the result of a part; returns the frame of the link."""
    expect(page).to_have_url(FRAMED)
    expect(page.locator(".answer[data-state=done] .card").first).to_contain_text(label, timeout=ANSWER_MS)
    return [float(number) for number in page.url.partition("crop=")[2].split(",")]


@pytest.mark.parametrize(("side", "label"), [(0, "flower"), (0.5, "clock")], ids=["left", "right"])
def test_letting_go_of_a_frame_searches_for_that_part(
    stack: Stack, page: Page, composite: FilePayload, side: float, label: str
) -> None:
    page.goto(stack.url)
    drop(page, composite)
    drag(page, frame_of(page), (side + 0.1, 0.25), (side + 0.45, 0.95))
    crop = expect_found(page, label)
    assert crop == pytest.approx([side + 0.1, 0.25, 0.35, 0.7], abs=0.05)
    page.context.clear_cookies()  # as somebody with the link
    page.goto(page.url)
    assert expect_found(page, label) == crop
    page.get_by_role("button", name="Search the whole picture").click()
    expect(page).to_have_url(re.compile("/q/[0-9a-f-]{36}$"))


def test_a_frame_is_moved_and_stays_inside(stack: Stack, page: Page, composite: FilePayload) -> None:
    page.goto(stack.url)
    drop(page, composite)
    drag(page, frame_of(page), (0.1, 0.1), (0.4, 0.9))
    x, y, width, height = expect_found(page, "flower")
    drag(page, frame_of(page), (0.25, 0.5), (1.5, 0.5))
    expect(page).not_to_have_url(re.compile(f"crop={x}"))
    moved = expect_found(page, "clock")
    assert moved == pytest.approx([1 - width, y, width, height], abs=0.02)
    assert moved[0] + moved[2] <= 1


def test_keys_move_the_frame_and_stay_on_it(stack: Stack, page: Page, composite: FilePayload) -> None:
    page.goto(stack.url)
    drop(page, composite)
    frame = frame_of(page)
    frame.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(25):
        frame.press("Shift+ArrowLeft")
    frame.press("Enter")
    assert expect_found(page, "flower") == pytest.approx([0, 0, 0.5, 1], abs=0.01)
    expect(frame_of(page)).to_be_focused()
    for _ in range(25):
        frame.press("ArrowRight")
    # Without Enter: the frame settles.
    expect(page).to_have_url(re.compile(r"crop=0\.[45]"))
    assert expect_found(page, "clock")[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("width", "height", "at_least"), [(390, 844, 300), (1180, 820, 150)], ids=["phone", "tablet"])
def test_on_a_touch_screen_a_button_opens_the_frame(
    stack: Stack, browser: Browser, composite: FilePayload, width: int, height: int, at_least: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    page.goto(stack.url)
    drop(page, composite)
    button = page.get_by_role("button", name="Search a part")
    expect(button).to_be_visible(timeout=ANSWER_MS)
    expect(page.locator("cropper-canvas")).to_have_count(0)
    button.tap()
    frame = frame_of(page)
    box = frame.bounding_box()
    assert box
    assert box["width"] > at_least  # on a phone the picture grows
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", 0.55), ("touchMove", 0.7), ("touchMove", 0.97), ("touchEnd", None)):
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + (x - 0.4) * box["height"]}] if x else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect_found(page, "clock")
    page.context.close()


def test_without_scripts_a_link_with_a_frame_works(
    stack: Stack, page_without_scripts: Page, composite: FilePayload
) -> None:
    page = page_without_scripts
    page.goto(stack.url)
    page.get_by_label("Choose a picture").set_input_files(composite)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    page.goto(f"{page.url}?crop=0.5,0,0.5,1")
    page.get_by_role("button", name="Search that part").click()
    expect_found(page, "clock")
    expect(page.get_by_role("img", name="The outlined part was searched")).to_be_visible()


def test_a_click_opens_the_picture(stack: Stack, page: Page, composite: FilePayload) -> None:
    page.goto(stack.url)
    drop(page, composite)
    frame_of(page).click()
    expect(page).to_have_url(re.compile(r"/q/[0-9a-f-]{36}/picture\.jpg$"))


def test_a_long_picture_has_no_frame(stack: Stack, page: Page) -> None:
    Image.new("RGB", (3000, 100), "red").save(file := io.BytesIO(), "PNG")
    page.goto(stack.url)
    drop(page, {"name": "long.png", "mimeType": "image/png", "buffer": file.getvalue()})
    expect(page.locator(".answer[data-state=done]")).to_be_visible(timeout=ANSWER_MS)
    page.wait_for_load_state("networkidle")
    expect(page.locator("cropper-canvas")).to_have_count(0)


def test_cropperjs_is_named_with_its_licence() -> None:
    root = Path(__file__).resolve().parents[2]
    folder = root / "gallery/static/cropperjs"
    [version] = re.findall(r"Cropper\.js v([\d.]+)", (folder / "cropper.esm.min.js").read_text()[:200])
    notice = (root / "NOTICE").read_text()
    assert f"Cropper.js {version}" in notice
    assert "MIT License" in (folder / "LICENSE").read_text()[:40].replace("The MIT", "MIT")
