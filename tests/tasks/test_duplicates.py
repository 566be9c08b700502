"""Pictures that look the same are one match with copies."""

import io

import pytest
from PIL import Image as Pillow

from engine.networks.embedder import Embedder
from gallery import curation, queries, results, uploads
from gallery.models import Image, Query
from gallery.queries import Question
from gallery.spans import Stopwatch
from tasks.answer import answer_waiting
from tasks.build import build_generation
from tasks.embedding import embed_step
from tasks.neighbours import Neighbours, Wanted
from tasks.worker import Worker
from tests.tasks.conftest import Ask, drawn, picture

COPIES = 30


def copy_of(number: int, copy: int) -> Pillow.Image:
    """The same picture to the eye, another file: one pixel differs."""
    changed = drawn(number).copy()
    changed.putpixel((copy, 0), (copy, copy, copy))
    return changed


@pytest.fixture
def copies(gallery: list[Image], embedder: Embedder) -> list[Image]:
    """More copies of picture 5 than a search looks at first."""
    added = []
    for copy in range(COPIES):
        file = io.BytesIO()
        copy_of(5, copy).save(file, "PNG")
        added.append(curation.add(io.BytesIO(file.getvalue()), title=f"5 copy {copy}"))
    embed_step(embedder, 100)
    return added


@pytest.mark.parametrize("indexed", [False, True])
def test_copies_are_one_match_and_the_others_still_make_ten(
    worker: Worker, copies: list[Image], ask: Ask, indexed: bool
) -> None:
    if indexed:
        build_generation(worker.embedder.network)
    query = ask(5)
    answer_waiting(worker, 32)
    shown = results.shown(query)
    assert len(shown) == 10
    assert shown[0].image.title.startswith("5")
    assert len(shown[0].duplicates) == COPIES
    assert not any(found.image.title.startswith("5 copy") for found in shown[1:])
    assert [found.rank for found in shown] == list(range(1, 11))


def test_each_is_a_match_of_its_own_when_asked_for(worker: Worker, copies: list[Image]) -> None:
    upload = uploads.accept(io.BytesIO(picture(5)))
    query = queries.ask(upload, Question(collapse=False), Stopwatch())
    answer_waiting(worker, 32)
    shown = results.shown(query)
    assert all(found.image.title.startswith("5") for found in shown)
    assert not any(found.duplicates for found in shown)


def test_a_hidden_copy_is_not_counted(worker: Worker, copies: list[Image], ask: Ask) -> None:
    query = ask(5)
    answer_waiting(worker, 32)
    found = results.shown(query)[0]
    hidden, _ = found.duplicates[0]
    Image.objects.filter(pk=hidden.id).update(is_hidden=True)
    assert hidden not in [image for image, _ in results.shown(query)[0].duplicates]


def test_the_threshold_decides(worker: Worker, copies: list[Image], embedder: Embedder) -> None:
    neighbours = Neighbours(embedder.network)
    neighbours.refresh()
    vectors = embedder.embed([drawn(5)])
    [strict] = neighbours.search(vectors, [Wanted(10, duplicates_from=1.01)])
    [everything] = neighbours.search(vectors, [Wanted(10, duplicates_from=-1)])
    assert len(strict) == 10
    assert not any(match.duplicates for match in strict)
    assert len(everything) == 1


def test_a_finished_query_names_one_generation(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    number = build_generation(worker.embedder.network).number
    query = ask(1)
    answer_waiting(worker, 32)
    assert Query.objects.get(pk=query.pk).generation == number
