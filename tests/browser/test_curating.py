"""Curating in a real browser: many pictures in, the list as grid and table, nothing cut off, nothing that axe finds."""

import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.browser.test_accessible import assert_accessible
from tests.demo import jpeg
from tests.engine.pictures import encoded, noise
from tests.stack import Stack

SECRET = secrets.token_urlsafe()
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
# What reaches beyond the right edge of the window, or of the frame that it would be scrolled in.
CUT_OFF = """() => [...document.querySelectorAll('#content *')]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1
        || element.matches('.results') && element.scrollWidth > element.clientWidth + 1)
    .map(element => element.tagName + '.' + element.className).slice(0, 5)"""
LONG = "A long title of a photograph, which names everything that can be seen on it, WithAWordOfGreatLength"
NAME = f"from gallery.models import Image; Image.objects.filter(pk=Image.objects.first().pk).update(title={LONG!r})"
PAGES = {
    "grid": "/admin/gallery/image/?view=grid",
    "table": "/admin/gallery/image/?view=table",
    "add-many": "/admin/gallery/image/add-many/",
    "queries": "/admin/gallery/query/",
    "generations": "/admin/gallery/indexgeneration/",
}


@pytest.fixture(scope="module")
def stack(changed_stack: Stack) -> Stack:
    """Return the system whose gallery these tests change, which has a curator."""
    changed_stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
    account = ("--noinput", "--username", "curator", "--email", "c@example.org")
    changed_stack.manage("createsuperuser", *account).check_returncode()
    return changed_stack


@pytest.fixture
def curating(stack: Stack, page: Page) -> Iterator[Page]:
    """Yield a curator who has logged in; nothing that the browser does breaks the policy."""
    told: list[str] = []

    def note(message: ConsoleMessage) -> None:
        """Keep what breaks the policy; what has no address of ours is what axe puts into the page."""
        if "Content Security" in message.text and message.location["url"]:
            told.append(message.text)

    page.on("console", note)
    page.goto(f"{stack.url}/admin/login/?next=/admin/")
    page.get_by_label("Username").fill("curator")
    page.get_by_label("Password").fill(SECRET)
    page.get_by_role("button", name="Log in").click()
    yield page
    assert told == []


def files(folder: Path, count: int, first: int) -> list[Path]:
    """Picture files; each number is another picture."""
    folder.mkdir()
    for number in range(first, first + count):
        (folder / f"Photo {number}.png").write_bytes(encoded(noise(40, 30, number), "PNG"))
    return sorted(folder.iterdir())


def test_dropped_files_become_labelled_pictures_and_bad_ones_are_listed(
    stack: Stack, curating: Page, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"I am no picture.")
    chosen = [*files(tmp_path / "photos", 30, 1000), tmp_path / "bad.jpg"]
    curating.goto(stack.url + PAGES["add-many"])
    curating.get_by_label("Label", exact=True).fill("noise")
    curating.locator("#files").set_input_files(chosen)
    expect(curating.locator("#counts")).to_contain_text("Added: 30 · there already: 0 · refused: 1", timeout=60_000)
    expect(curating.locator("#refused")).to_contain_text("bad.jpg: ")
    curating.locator("#files").set_input_files(chosen[:2])
    expect(curating.locator("#counts")).to_contain_text("there already: 2", timeout=60_000)
    rows = stack.rows("SELECT count(*) FROM gallery_image WHERE label = 'noise' AND title LIKE 'Photo 10%%'")
    assert rows == [(30,)]


def test_a_zip_is_imported_by_a_worker(stack: Stack, curating: Page, tmp_path: Path) -> None:
    archive = tmp_path / "holiday.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in files(tmp_path / "photos", 20, 2000):
            file.write(path, f"beach/{path.name}")
        file.writestr("beach/notes.txt", "no picture")
    curating.goto(stack.url + PAGES["add-many"])
    curating.get_by_label("Or the name of each file's folder").check()
    curating.locator("#files").set_input_files(archive)
    expect(curating.locator("#added")).to_contain_text("20 added, 0 were there already, 1 refused.", timeout=120_000)
    expect(curating.locator("#added")).to_contain_text("beach/notes.txt: ")
    assert stack.rows("SELECT count(*) FROM gallery_image WHERE label = 'beach'") == [(20,)]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_and_axe_finds_nothing(stack: Stack, curating: Page, width: str) -> None:
    curating.set_viewport_size({"width": WIDTHS[width][0], "height": WIDTHS[width][1]})
    stack.manage("shell", "-c", NAME).check_returncode()
    queries = [stack.ask(jpeg("clock", 1)).json()["id"], stack.ask(picture_that_fails()).json()["id"]]
    assert [stack.answer(query)["state"] for query in queries] == ["done", "failed"]
    [(image,)] = stack.rows("SELECT id FROM gallery_image LIMIT 1")
    pages = PAGES | {"query": f"/admin/gallery/query/{queries[0]}/change/"}
    pages |= {
        f"{page} of a picture": f"/admin/gallery/image/{image}/{page}/" for page in ("change", "delete", "history")
    }
    for name, address in pages.items():
        curating.goto(stack.url + address)
        assert curating.evaluate(CUT_OFF) == [], name
        assert_accessible(curating)


def picture_that_fails() -> bytes:
    return encoded(noise(), "PNG")[:300]


def test_labels_are_set_across_pages_and_undone(stack: Stack, curating: Page) -> None:
    count = stack.rows("SELECT count(*) FROM gallery_image")[0][0]
    before = stack.rows("SELECT label, count(*) FROM gallery_image GROUP BY label ORDER BY label")
    curating.goto(stack.url + PAGES["grid"])
    curating.locator("#action-toggle").check()
    if curating.locator(".question a").is_visible():
        curating.locator(".question a").click()
    curating.get_by_label("Action:").select_option("set_label")
    curating.locator(".actions").get_by_label("Label:").fill("everything")
    curating.get_by_role("button", name="Go").click()
    expect(curating.get_by_text(f"{count} labelled.")).to_be_visible()
    curating.get_by_role("button", name="Undo: Label").click()
    expect(curating.get_by_text("Undone for")).to_be_visible()
    assert stack.rows("SELECT label, count(*) FROM gallery_image GROUP BY label ORDER BY label") == before
