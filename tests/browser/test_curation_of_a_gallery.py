"""A gallery curated in the browser alone: pictures in, labelled, cleaned of duplicates and of wrong labels.

The times are printed, for the figures of a release: `make drills ARGS="tests/browser -s"`.
"""

import itertools
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_insight import RUN_MS, SECRET
from tests.oddities import OTHER_KINDS, odd_folder
from tests.stack import Stack
from tests.tasks.insight.conftest import DUPLICATES, MISLABELS, changed
from tests.tasks.insight.test_planted import FALSE_ONES, known_groups

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

PER_LABEL = 15  # of 20 labels, without one; and as many in a folder of their label
SMALLEST_PX = 160
IMPORT_MS = 240_000
REFUSED = ("empty.jpg", "page.jpg", *OTHER_KINDS)
ODD_TITLES = {"loose", "composed", "decomposed", "shouted", "two lines", "no suffix of ours"}


@dataclass
class Planted:
    """What the test knows of the pictures, by their titles: a curator knows it by looking at them.

    `copies`: each copy with its original; `wrong`: pictures under the name of another label, with the true one.
    """

    library: Path
    files: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    kept_names: dict[str, str] = field(default_factory=dict)  # the name that the photograph has in its own folder

    def are_the_same(self, pair: tuple[str, str]) -> bool:
        names = {self.kept_names.get(self.copies.get(title, title), title) for title in pair}
        return len(names) == 1 or any(names <= group for group in known_groups())


@pytest.fixture(scope="module")
def planted(shared_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Return files without folders, named as somebody has named them who errs now and then."""
    folder, random_ = tmp_path_factory.mktemp("camera"), random.Random(22)
    made = Planted(
        folder / "library",
        labels=sorted(path.name.replace("_", " ") for path in shared_photos.iterdir() if path.is_dir()),
    )
    paths = []
    for label in made.labels:
        photos = random_.sample(sorted((shared_photos / label.replace(" ", "_")).glob("*.jpg")), 2 * PER_LABEL)
        paths += photos[:PER_LABEL]
        (made.library / label).mkdir(parents=True)
        for path in photos[PER_LABEL:]:
            made.kept_names[_own_name(path)] = _own_name(path)
            (made.library / label / f"{_own_name(path)}.jpg").write_bytes(path.read_bytes())
    # One that has a twin in its own folder may be in a group with the twin, and its copy in none. A thumbnail at half
    # its size has fewer pixels than the model needs.
    twins = set().union(*known_groups())
    usual = [path for path in paths if _own_name(path) not in twins and _shorter_side(path) >= SMALLEST_PX]
    chosen = random_.sample(usual, MISLABELS + DUPLICATES)
    wrong, copied = chosen[:MISLABELS], chosen[MISLABELS:]
    for number, path in enumerate(paths):
        true = path.parent.name.replace("_", " ")
        label = random_.choice([one for one in made.labels if one != true]) if path in wrong else true
        title = f"{label} {number + 1000}"  # not the name of a photograph in its own folder
        made.kept_names[title] = _own_name(path)
        if path in wrong:
            made.wrong[title] = true
        _write(made, folder / f"{title}.jpg", path.read_bytes())
        if path in copied:
            made.copies[f"{label} {number + 2000}"] = title
            _write(made, folder / f"{label} {number + 2000}.jpg", changed(path, len(made.copies)))
    return made


def _shorter_side(path: Path) -> int:
    with Image.open(path) as picture:
        return min(picture.size)


def _own_name(path: Path) -> str:
    return f"{path.parent.name} {path.stem.removeprefix('image_').lstrip('0')}"


def _write(made: Planted, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    made.files.append(path)


@pytest.fixture
def desk(tmp_path: Path, page: Page) -> Iterator[tuple[Stack, Page]]:
    """Yield a running system and a curator who has logged in; nothing that the browser does breaks the policy."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if "Content Security" in message.text else None)
    with Stack(tmp_path) as stack:
        stack.environment["DJANGO_SUPERUSER_PASSWORD"] = SECRET
        account = ("--noinput", "--username", "insider", "--email", "i@example.org")
        stack.manage("createsuperuser", *account).check_returncode()
        page.goto(f"{stack.url}/admin/login/?next=/admin/gallery/image/")
        page.get_by_label("Username").fill("insider")
        page.get_by_label("Password").fill(SECRET)
        page.get_by_role("button", name="Log in").click()
        yield stack, page
    assert told == []


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s")


def test_a_gallery_is_imported_labelled_and_cleaned(desk: tuple[Stack, Page], planted: Planted, tmp_path: Path) -> None:
    stack, page = desk
    with timed("the demo gallery deleted"):
        delete_all(stack, page)
    with odd_folder(tmp_path / "odd") as odd, timed("a folder with every oddity"):
        import_odd(stack, page, odd)
    with timed("a library of labelled pictures sent"):
        send_folder(stack, page, planted.library)
    with timed(f"{len(planted.files)} pictures sent, decoded and embedded"):
        import_all(stack, page, planted.files)
    with timed(f"{len(planted.files)} pictures labelled"):
        for label in planted.labels:
            set_label(stack, page, label)
    marks = ", ".join(["%s"] * len(planted.labels))
    labelled = f"SELECT count(*) FROM gallery_image WHERE label IN ({marks})"
    assert stack.rows(labelled, *planted.labels) == [(len(planted.files) + PER_LABEL * len(planted.labels),)]
    with timed("duplicates found and hidden"):
        false = clean_duplicates(stack, page, planted)
    print(f"{len(false)} false pairs")
    assert len(false) <= FALSE_ONES, false
    with timed("wrong labels found and changed"):
        found = clean_labels(stack, page, planted)
    print(f"{len(found - planted.wrong.keys())} false suspects")
    assert found >= planted.wrong.keys()
    assert len(found - planted.wrong.keys()) <= FALSE_ONES, found
    labels = dict(stack.rows("SELECT title, label FROM gallery_image WHERE NOT is_hidden"))
    assert {title: labels[title] for title in planted.wrong} == planted.wrong


# --- What a curator does ----------------------------------------------------------------------------------------


def act(page: Page, action: str, label: str = "") -> None:
    """Choose an action for all pictures of a list, those of the other pages too."""
    page.locator("#action-toggle").check()
    if page.locator(".question a").is_visible():
        page.locator(".question a").click()
    page.get_by_label("Action:").select_option(action)
    if label:
        page.locator(".actions").get_by_label("Label:").fill(label)
    page.get_by_role("button", name="Go").click()


def delete_all(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/admin/gallery/image/")
    act(page, "delete_selected")
    page.get_by_role("button", name="Yes, delete").click()
    expect(page.locator("#result_list")).to_have_count(0)


def send_folder(stack: Stack, page: Page, folder: Path) -> None:
    page.goto(f"{stack.url}/admin/gallery/image/add-many/")
    page.get_by_label("Or the name of each file's folder").check()
    page.locator("#folder").set_input_files(folder)
    expect(page.locator("#counts")).to_contain_text("All files are here.", timeout=IMPORT_MS)


def import_odd(stack: Stack, page: Page, folder: Path) -> None:
    (folder / "pipe.png").unlink()  # Chromium waits for its writer
    send_folder(stack, page, folder)
    refused = page.locator("#refused").inner_text()
    assert [name for name in REFUSED if f"{name}: " not in refused] == []
    assert "large.bmp: The file is too large." in refused
    expect(page.locator("#added")).to_contain_text("half: ", timeout=IMPORT_MS)  # damage that only decoding shows
    expect(page.locator("#added")).not_to_contain_text("decoded", timeout=IMPORT_MS)
    titles = [title for (title,) in stack.rows("SELECT title FROM gallery_image WHERE problem = ''")]
    assert set(titles) >= ODD_TITLES
    assert "left over" not in titles  # of the folders that systems keep for themselves
    print(f"of a folder with every oddity: {page.locator('#counts').inner_text()}")


def import_all(stack: Stack, page: Page, files: list[Path]) -> None:
    page.goto(f"{stack.url}/admin/gallery/image/add-many/")
    page.locator("#files").set_input_files(files)
    expect(page.locator("#counts")).to_contain_text(f"Added: {len(files)} ", timeout=IMPORT_MS)
    deadline = time.monotonic() + IMPORT_MS / 1000
    while True:
        page.goto(f"{stack.url}/admin/gallery/image/?embedding=waiting")
        if not page.locator("#result_list").count():
            break
        assert time.monotonic() < deadline, stack.output()
        time.sleep(1)
    page.get_by_role("button", name="Rebuild the index").click()
    expect(page.get_by_text(re.compile(r"Generation \d+ is built"))).to_be_visible(timeout=RUN_MS)


def set_label(stack: Stack, page: Page, label: str) -> None:
    """Find the pictures by their titles."""
    page.goto(f"{stack.url}/admin/gallery/image/?label=&q={label}")
    act(page, "set_label", label)
    expect(page.get_by_text(re.compile(r"\d+ labelled"))).to_be_visible()


def look(stack: Stack, page: Page, name: str, button: str) -> None:
    page.goto(f"{stack.url}/admin/{name}/")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name="Look again")).to_be_visible(timeout=RUN_MS)
    page.wait_for_load_state()  # the button comes before the groups


def clean_duplicates(stack: Stack, page: Page, planted: Planted) -> list[tuple[str, str]]:
    """Hide what the page proposes, and return the pairs that show different things."""
    look(stack, page, "duplicates", "Look for duplicates")
    pairs: list[tuple[str, str]] = []
    for group in all_groups(page):
        pairs += itertools.combinations(sorted(group), 2)
    missed = [pair for pair in planted.copies.items() if not {pair, pair[::-1]} & set(pairs)]
    assert missed == []
    for kind in kinds_of_groups(stack, page):
        page.goto(f"{stack.url}/admin/duplicates/{kind}")
        page.get_by_role("button", name="Keep the proposed picture").click()
        expect(page.get_by_text("the best of each group is kept.")).to_be_visible()
    assert kinds_of_groups(stack, page) == []
    visible = {title for (title,) in stack.rows("SELECT title FROM gallery_image WHERE NOT is_hidden")}
    assert [pair for pair in planted.copies.items() if set(pair) <= visible] == []
    return [pair for pair in pairs if not planted.are_the_same(pair)]


def kinds_of_groups(stack: Stack, page: Page) -> list[str]:
    """Return the links to the kinds of groups that are left."""
    page.goto(f"{stack.url}/admin/duplicates/")
    return [link.get_attribute("href") or "" for link in page.locator(".chips a").all()[1:]]


def all_groups(page: Page) -> Iterator[list[str]]:
    """Yield the titles of each group, page by page."""
    while True:
        for group in page.locator(".group").all():
            yield group.locator(".pictures p a").all_inner_texts()
        following = page.locator("a[rel=next]")
        if not following.count():
            return
        page.goto(page.url.partition("?")[0] + (following.get_attribute("href") or ""))


def clean_labels(stack: Stack, page: Page, planted: Planted) -> set[str]:
    """Correct the labels that are wrong, and return the titles of the pictures that were shown.

    The label of the neighbours is mostly right, so it is one click.
    """
    look(stack, page, "mislabels", "Look for wrong labels")
    found: set[str] = set()
    while page.locator(".group").count():
        group = page.locator(".group").first
        title = title_of(group)
        found.add(title)
        true = planted.wrong.get(title)
        take = group.get_by_role("button", name=f"Change to “{true}”")
        if true and not take.count():
            group.get_by_label("Another label:").fill(true)
            take = group.get_by_role("button", name="Set", exact=True)
        (take if true else group.get_by_role("button", name="is right")).click()
        expect(page.locator(".messagelist")).to_be_visible()
    return found


def title_of(group: Locator) -> str:
    text = group.locator("figcaption").inner_text()
    return text.removeprefix(group.locator("figcaption strong").inner_text()).strip()
