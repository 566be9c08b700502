"""What a curator does in the admin counts in the next search, while everybody goes on searching."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx
import pytest

from gallery.index.generations import REBUILD_AT_LEAST
from tests import demo
from tests.drills.searching import Asked, Searches, wait_until
from tests.environment import IS_MILVUS
from tests.stack import Stack

ADDED = 100
PROMISED_S = 5  # from the embedding of a picture to the last search that does not know it
PATIENCE_S, ANSWER_S = 120, 60
SEARCHERS, PACE_S = 3, 0.3  # ten searches a second
ADD_PACE_S = 0.2
NAME, PASSWORD = "curator", "drawn-by-hand"

EMBEDDED_AT = """
import json
from gallery.models import Embedding
rows = Embedding.objects.values_list("image__title", "created_at")
print("embedded", json.dumps({title: at.timestamp() for title, at in rows}))
"""


class Curator:
    """Somebody who works in the admin with a browser."""

    def __init__(self, stack: Stack) -> None:
        account = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        stack.environment |= account
        made = stack.manage("createsuperuser", "--noinput", "--username", NAME, "--email", "curator@example.org")
        assert made.returncode == 0, made.stderr
        self.browser = httpx.Client(base_url=stack.url, timeout=30, follow_redirects=True)

    def __enter__(self) -> Self:
        form = {"username": NAME, "password": PASSWORD, "next": "/admin/"}
        assert "Log out" in self.send("/admin/login/", form)
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()

    def send(self, page: str, form: dict[str, str], file: bytes | None = None) -> str:
        """Fill in the form of a page and send it; returns the page that comes then."""
        self.browser.get(page).raise_for_status()
        form = form | {"csrfmiddlewaretoken": self.browser.cookies["csrftoken"]}
        files = {"file": ("picture.jpg", file)} if file else None
        response = self.browser.post(page, data=form, files=files)
        response.raise_for_status()
        return response.text

    def add(self, title: str, picture: bytes) -> None:
        result = self.send("/admin/gallery/image/add/", {"title": title, "label": "added"}, picture)
        assert "was added successfully" in result

    def hide(self, image: str) -> None:
        form = {"action": "hide", "_selected_action": image}
        assert "1 hidden." in self.send("/admin/gallery/image/", form)

    def delete(self, image: str) -> None:
        result = self.send(f"/admin/gallery/image/{image}/delete/", {"post": "yes"})
        assert "was deleted successfully" in result


def is_found(search: Asked) -> bool:
    first = search.answer["matches"][0]
    return bool(first["image"]["title"] == search.name and first["similarity"] > 0.99)


def shown(search: Asked) -> set[str]:
    """Return every picture on the page of results."""
    matches = search.answer["matches"]
    return {entry["image"]["id"] for match in matches for entry in [match, *match["duplicates"]]}


class UntilFound(Searches):
    """Mostly by one of the oldest that were not found yet, now and then by any other."""

    def __init__(self, stack: Stack, pictures: dict[str, bytes]) -> None:
        super().__init__(stack, pictures, SEARCHERS, PACE_S, ANSWER_S)

    def choose(self, turn: int) -> str | None:
        found = self.found()
        unknown = [title for title in list(self.pictures) if title not in found][:8]
        titles = unknown if unknown and turn % 4 else list(self.pictures)
        return titles[turn % len(titles)] if titles else None

    def found(self) -> dict[str, Asked]:
        """For each picture that was found the first search that found it."""
        first: dict[str, Asked] = {}
        for search in list(self.answered):
            if is_found(search):
                first.setdefault(search.name, search)
        return first


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system of its own with 48 pictures, which takes as many queries as come."""
    with Stack(tmp_path_factory.mktemp("fresh"), SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
        yield running


@pytest.fixture(scope="module")
def curator(own: Stack) -> Iterator[Curator]:
    with Curator(own) as curator:
        yield curator


def pictures(count: int, start: int) -> dict[str, bytes]:
    kinds = itertools.cycle(demo.KINDS)
    return {f"New {kind} {n}": demo.jpeg(kind, n) for n, kind in zip(range(start, start + count), kinds, strict=False)}


def embedded_at(stack: Stack) -> dict[str, float]:
    output = re.search(r"^embedded (.*)$", stack.manage("shell", "-c", EMBEDDED_AT).stdout, re.MULTILINE)
    assert output
    times: dict[str, float] = json.loads(output[1])
    return times


def index(stack: Stack) -> dict[str, Any]:
    facts: dict[str, Any] = stack.client.get("/readyz").json()["checks"]["index"]
    return facts


def test_a_hundred_added_pictures_are_found_and_the_index_follows(own: Stack, curator: Curator) -> None:
    new, before = pictures(ADDED, 1000), index(own)
    there = own.client.get("/api/images").json()["count"]
    with UntilFound(own, {}) as searches:
        for title, picture in new.items():
            curator.add(title, picture)
            searches.pictures[title] = picture
            time.sleep(ADD_PACE_S)
        wait_until(lambda: len(searches.found()) == ADDED, own, PATIENCE_S)
        wait_until(lambda: index(own)["images"] >= there + REBUILD_AT_LEAST, own, PATIENCE_S)
    assert searches.failures == []

    embedded, found = embedded_at(own), searches.found()
    missed_s = [search.at - embedded[search.name] for search in searches.answered if not is_found(search)]
    took_s = sorted(search.done_at - max(embedded[title], search.at) for title, search in found.items())
    since_s = sorted(search.done_at - embedded[title] for title, search in found.items())
    after = index(own)
    print(
        f"{len(searches.answered)} searches; from embedding to the answer that has it: median {since_s[50]:.2f} s, "
        f"longest {since_s[-1]:.2f} s; the latest search without it was posed {max(missed_s, default=0):.2f} s after; "
        f"a search took at most {took_s[-1]:.2f} s; generation {before['generation']} -> {after['generation']}"
    )
    assert max(missed_s, default=0) < PROMISED_S
    # A collection of Milvus takes the new pictures in; Annoy's files are built again.
    assert (after["generation"] > before["generation"]) is not IS_MILVUS
    assert max(searches.answered, key=lambda search: search.at).answer["index"]["images"] == there + ADDED


@pytest.mark.parametrize("way", ["hide", "delete"])
def test_a_picture_that_is_taken_away_is_gone_from_the_next_query_on(own: Stack, curator: Curator, way: str) -> None:
    image = own.client.get("/api/images").json()["images"][0]
    gone, copy = image["id"], own.client.get(image["url"]).content
    with UntilFound(own, {image["title"]: copy}) as searches:
        wait_until(lambda: sum(gone in shown(search) for search in searches.answered) >= 3, own, PATIENCE_S)
        getattr(curator, way)(gone)
        taken_at = time.time()
        wait_until(lambda: sum(search.at > taken_at for search in searches.answered) >= 20, own, PATIENCE_S)
    assert searches.failures == []
    later = [search for search in searches.answered if search.at > taken_at]
    assert [search.at - taken_at for search in later if gone in shown(search)] == []
    assert {len(search.answer["matches"]) for search in later} == {10}
    assert own.client.post("/api/queries", data={"like": gone}).status_code == 404
