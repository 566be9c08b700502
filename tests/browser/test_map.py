"""The map in a real browser, with 10,000 pictures: it pans, zooms, lights up and opens."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_accessible import assert_accessible
from tests.browser.test_layout import assert_fits
from tests.stack import Stack

COUNT = 10_000
SECRET = secrets.token_urlsafe()
# Rows as an import and a layout leave them, with the thumbnails of the gallery.
MAKE = f"""
import os, random
from gallery.storage import disk
from gallery.models import Image, MapPoint
random.seed(22)
MapPoint.objects.all().delete()  # of an analysis
known = list(Image.objects.visible())
made = [Image(content_hash=f"map {{n}}", label=f"label {{n % 40}}", width_px=1, height_px=1, problem="a test's")
        for n in range({COUNT} - len(known))]
Image.objects.bulk_create(made, batch_size=500)
for n, image in enumerate(made):
    disk.make_folder(image.thumbnail_file.path.parent)
    os.link(known[n % len(known)].thumbnail_file.path, image.thumbnail_file.path)
centres = {{n: (random.random(), random.random()) for n in range(40)}}
MapPoint.objects.bulk_create([
    MapPoint(image=image, x=min(1, max(0, random.gauss(centres[n % 40][0], 0.04))),
             y=min(1, max(0, random.gauss(centres[n % 40][1], 0.04))))
    for n, image in enumerate(known + made)
], batch_size=500)
"""
CLEAN = """
from gallery.models import Image, MapPoint
MapPoint.objects.all().delete()
Image.objects.filter(content_hash__startswith="map ").delete()
"""
FRAMES = """() => {
    window.frames_at = [];
    const tick = (now) => { window.frames_at.push(now); window.frame = requestAnimationFrame(tick); };
    window.frame = requestAnimationFrame(tick);
}"""


@pytest.fixture(scope="module")
def stack(changed_stack: Stack) -> Stack:
    """Return the system whose gallery these tests change."""
    return changed_stack


@pytest.fixture(scope="module")
def mapped(stack: Stack) -> Iterator[Stack]:
    """Start a system whose map has COUNT pictures, and a curator."""
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    stack.manage("createsuperuser", "--noinput", "--username", "mapper", "--email", "m@example.org").check_returncode()
    stack.manage("shell", "-c", MAKE).check_returncode()
    yield stack
    stack.manage("shell", "-c", CLEAN).check_returncode()


@pytest.fixture
def opened(mapped: Stack, page: Page) -> Iterator[Page]:
    """Open the map in the browser of a curator; nothing that the browser does breaks the policy."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if "Content Security" in message.text else None)
    log_in(mapped, page)
    yield page
    assert told == []


def log_in(mapped: Stack, page: Page) -> None:
    page.goto(f"{mapped.url}/admin/login/?next=/map/")
    page.get_by_label("Username").fill("mapper")
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".legend button").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def picture(page: Page) -> bytes:
    return page.locator("canvas").screenshot()


def test_10_000_pictures_pan(opened: Page) -> None:
    box = opened.locator("canvas").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for zoomed in (False, True):
        if zoomed:
            for _ in range(3):
                opened.get_by_role("button", name="Zoom in").click()
        before = picture(opened)
        opened.mouse.move(x, y)
        opened.mouse.down()
        opened.evaluate(FRAMES)
        for step in range(120):
            opened.mouse.move(x + 150 * (step % 40) / 40, y + step)
        frames = opened.evaluate("() => { cancelAnimationFrame(window.frame); return window.frames_at; }")
        opened.mouse.up()
        rate = 1000 * (len(frames) - 1) / (frames[-1] - frames[0])
        print(f"map of {COUNT} pictures, {'zoomed in' if zoomed else 'all'}: {rate:.0f} frames a second while panning")
        assert len(frames) > 10
        assert picture(opened) != before


def test_a_click_opens_the_picture(opened: Page) -> None:
    for _ in range(4):
        opened.get_by_role("button", name="Zoom in").click()
    opened.wait_for_load_state("networkidle")
    box = opened.locator("canvas").bounding_box()
    assert box
    for step in range(40):  # until there is a picture below the pointer
        place = (box["x"] + 60 + 22 * step, box["y"] + box["height"] / 2)
        opened.mouse.move(*place)
        if opened.locator("canvas").evaluate("canvas => canvas.style.cursor") == "pointer":
            break
    opened.mouse.click(*place)
    opened.wait_for_url("**/gallery/*-*")


def test_a_label_is_lit_up(opened: Page) -> None:
    before = picture(opened)
    button = opened.locator(".legend button").first
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert picture(opened) != before
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_the_matches_of_a_search_are_lit_up(mapped: Stack, opened: Page) -> None:
    [image] = mapped.rows("SELECT id FROM gallery_image WHERE content_hash NOT LIKE 'map %%' LIMIT 1")[0]
    query = mapped.client.post("/api/queries", data={"like": str(image)}).json()["id"]
    found = len(mapped.answer(query)["matches"])
    opened.goto(f"{mapped.url}/map/?query={query}")
    expect(opened.get_by_role("status")).to_have_text(f"Matches of the search that are lit up: {found}")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_is_for_everyone(mapped: Stack, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    log_in(mapped, page)
    assert_fits(page)
    assert_accessible(page)
    page.context.close()
