"""Pictures by link: searched as if they had been uploaded."""

import functools
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings

from gallery.errors import Refusal
from gallery.models import Image, Query
from gallery.queries import accept, lifecycle, throttle
from gallery.queries.accept import Parameters, Pictures
from gallery.timings import Stopwatch
from tasks.queries import fetching
from tasks.queries.answer import answer_waiting
from tasks.queries.slow import Background, Work
from tasks.worker import Worker
from tests.engine.bombs import slow_png
from tests.gallery.rows import files_kept, now
from tests.tasks.conftest import picture
from tests.tasks.hosts import Counting, Names, friendly


def ask(link: str, **pictures: object) -> Query:
    return accept.store(Pictures(link=link, **pictures), Parameters(), Stopwatch(), "client")  # type: ignore[arg-type]


class AfterTheBatch(Background):
    """Begins when a test waits for it: SQLite in memory, which tests have, does not wait for another writer."""

    def __init__(self, work: Work) -> None:
        super().__init__("links", work, threads=4)
        self._held: list[tuple[UUID, Query]] = []

    def add(self, token: UUID, query: Query) -> None:
        self._held.append((token, query))

    def join(self) -> None:
        while self._held:
            super().add(*self._held.pop())
        super().join()


@pytest.fixture
def link(server: Counting, names: Names, worker: Worker) -> str:
    """Return a picture that this worker may fetch; the web knows no other ports than 80 and 443."""
    fetcher = friendly(server, names)
    names.records["pictures.example.org"] = [["127.0.0.1"]]
    server.pages["/a.jpg"] = (200, {"Content-Type": "image/jpeg"}, picture(3))
    worker.links = AfterTheBatch(functools.partial(fetching.fetch, fetcher))
    return f"http://pictures.example.org:{server.port}/a.jpg"


@pytest.fixture
def query(link: str) -> Query:
    """Return one that was accepted with a link to the usual port, and leads to the server of the test."""
    query = ask("http://pictures.example.org/a.jpg")
    Query.objects.filter(pk=query.pk).update(link=link)
    return query


with_threads = pytest.mark.django_db(transaction=True)


@with_threads
def test_a_picture_by_link_is_searched_like_an_upload(worker: Worker, gallery: list[Image], query: Query) -> None:
    assert (now(query).state, query.has_picture, files_kept_of(query)) == ("waiting", True, [])
    answer_waiting(worker, 32)
    worker.links.join()
    assert (now(query).state, files_kept_of(query)) == ("waiting", [query.upload_file.path])
    answer_waiting(worker, 32)
    done = now(query)
    assert (done.state, (done.matches or [])[0]["image"]) == ("done", str(gallery[3].pk))
    assert files_kept_of(query) == [query.picture_file.path]


def files_kept_of(query: Query) -> list[Path]:
    return [path for path in (query.picture_file.path, query.upload_file.path) if path.exists()]


@with_threads
def test_others_are_answered_while_a_link_is_fetched(
    worker: Worker, gallery: list[Image], query: Query, server: Counting, names: Names
) -> None:
    server.pages["/slow"] = (200, {}, b"")
    worker.links = AfterTheBatch(functools.partial(fetching.fetch, friendly(server, names, total_s=1)))
    Query.objects.filter(pk=query.pk).update(link=now(query).link.replace("/a.jpg", "/slow"))  # type: ignore[union-attr]
    other = accept.store(Pictures(like=[gallery[5]]), Parameters(), Stopwatch())
    answer_waiting(worker, 32)
    assert (now(query).state, now(other).state) == ("running", "done")
    worker.links.join()
    assert (now(query).state, now(query).error_code) == ("failed", "unreachable")


@with_threads
def test_a_link_with_gallery_pictures_is_one_query(worker: Worker, gallery: list[Image], link: str) -> None:
    query = ask("http://pictures.example.org/a.jpg", unlike=[gallery[4]])
    Query.objects.filter(pk=query.pk).update(link=link)
    answer_waiting(worker, 32)
    worker.links.join()
    answer_waiting(worker, 32)
    assert now(query).state == "done"
    assert str(gallery[4].pk) not in {match["image"] for match in now(query).matches or []}


@with_threads
@pytest.mark.parametrize(
    ("body", "code"), [(b"not a picture", "unsupported_format"), (b"", "empty"), (picture(3)[:3000], "corrupt")]
)
def test_what_arrives_is_checked_as_an_upload_is(
    worker: Worker, gallery: list[Image], query: Query, server: Counting, body: bytes, code: str
) -> None:
    server.pages["/a.jpg"] = (200, {"Content-Type": "image/jpeg"}, body)
    answer_waiting(worker, 32)
    worker.links.join()
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).error_code) == ("failed", code)
    assert files_kept_of(query) == []


@with_threads
def test_a_link_that_was_withdrawn_leaves_nothing(worker: Worker, query: Query) -> None:
    answer_waiting(worker, 32)
    lifecycle.withdraw(query.pk)
    worker.links.join()
    assert files_kept() == []


@with_threads
def test_a_slow_picture_by_link_is_decoded_in_the_attempt_that_is_its_own(
    worker: Worker, gallery: list[Image], query: Query, server: Counting
) -> None:
    server.pages["/a.jpg"] = (200, {}, slow_png())
    answer_waiting(worker, 32)
    worker.links.join()
    answer_waiting(worker, 32)
    assert (now(query).state, now(query).attempts) == ("done", 2)


@with_threads
def test_a_slow_picture_by_link_counts_as_one_that_was_sent(
    worker: Worker, gallery: list[Image], query: Query, server: Counting, settings: Settings
) -> None:
    settings.SIMSEARCH_UPLOADS_PER_MINUTE = 600
    Query.objects.filter(pk=query.pk).update(client=throttle.hashed("203.0.113.1"))
    server.pages["/a.jpg"] = (200, {}, slow_png())
    answer_waiting(worker, 32)
    worker.links.join()
    answer_waiting(worker, 32)
    with pytest.raises(Refusal):
        throttle.check("203.0.113.1", 600)


@with_threads
def test_two_fetches_of_one_query_do_not_fail_it(
    worker: Worker, gallery: list[Image], query: Query, server: Counting, names: Names
) -> None:
    fetcher, late = friendly(server, names), lifecycle.claim(1)
    lifecycle.requeue(late.token)  # as a batch that breaks does
    again = lifecycle.claim(1)
    for claim in (late, again):
        fetching.fetch(fetcher, claim.token, claim.queries[0])
    assert now(query).state == "waiting"
    answer_waiting(worker, 32)
    assert now(query).state == "done"


@with_threads
def test_a_fetch_that_was_killed_is_tried_again(worker: Worker, gallery: list[Image], query: Query) -> None:
    claim = lifecycle.claim(1)
    lifecycle.requeue(claim.token)  # as the sweep does when the lease is over
    for _ in range(2):
        answer_waiting(worker, 32)
        worker.links.join()
    assert (now(query).state, now(query).attempts) == ("done", 3)


@with_threads
def test_a_site_without_links_fetches_none(worker: Worker, query: Query, server: Counting, settings: Settings) -> None:
    settings.SIMSEARCH_FETCH_LINKS = False
    answer_waiting(worker, 32)
    worker.links.join()
    assert (now(query).state, now(query).error_code) == ("failed", "unreachable")
    assert server.connections == 0
