"""Recall of real searches: the last one is compared exactly, outside of any query, and counted in Redis."""

import numpy as np
import pytest

from engine.index import annoy_index
from engine.networks.embedder import Embedder
from gallery.index import recall
from gallery.models import Embedding, Image
from gallery.operations import workers
from tasks.indexing.build import build_generation
from tasks.queries.answer import answer_waiting
from tasks.search.neighbours import Neighbours, SearchRequest
from tasks.worker import Worker
from tests.engine.galleries import make_vectors
from tests.tasks.conftest import Ask, add

pytestmark = pytest.mark.annoy  # a collection is checked once a minute, against a wider search

COUNT = 1500  # enough for most pictures to be no candidates


@pytest.fixture
def crowd(embedder: Embedder, db: None) -> None:
    """Make a gallery too large to be drawn: its rows and its embeddings by this model, without files."""
    images = [Image(content_hash=f"{n:064x}", title=str(n), width_px=1, height_px=1) for n in range(COUNT)]
    Image.objects.bulk_create(images)
    vectors = make_vectors(COUNT).astype("<f2")
    Embedding.objects.bulk_create(
        Embedding(image_id=image.content_hash, model_id=embedder.model_id, vector=vector.tobytes())
        for image, vector in zip(images, vectors, strict=True)
    )


@pytest.fixture
def neighbours(embedder: Embedder, crowd: None) -> Neighbours:
    build_generation(embedder.model_id)
    neighbours = Neighbours(embedder.model_id)
    neighbours.refresh()
    return neighbours


def test_the_last_search_is_checked_once(neighbours: Neighbours) -> None:
    neighbours.search(make_vectors(3, seed=8), [SearchRequest(10)] * 3)
    checked = neighbours.check_recall()
    assert checked is not None
    found, true = checked
    assert true == 10
    assert 5 <= found <= 10
    assert neighbours.check_recall() is None


def test_what_is_counted_is_what_exact_search_finds_too(neighbours: Neighbours) -> None:
    assert neighbours.index is not None
    for query in make_vectors(20, seed=9):
        neighbours.search(query[None], [SearchRequest(10)])
        [found], [true] = neighbours.index.search(query[None], 10), neighbours.index.exact(query[None], 10)
        assert neighbours.check_recall() == (len(np.intersect1d(found.ids, true.ids)), 10)


def test_an_index_that_misses_neighbours_is_found_out(neighbours: Neighbours) -> None:
    """Noise has no structure that the index could have learned: far fewer of the true ten are found."""
    random = np.random.default_rng(4)
    found = true = 0
    for _ in range(5):
        noise = random.standard_normal((1, 4096), np.float32)
        neighbours.search(noise / np.linalg.norm(noise), [SearchRequest(10)])
        checked = neighbours.check_recall()
        assert checked is not None
        found, true = found + checked[0], true + checked[1]
    assert true == 50
    assert found < true


def test_a_large_index_is_read_as_a_whole_less_often(neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annoy_index, "CHECKED_A_SECOND", COUNT // 100)
    assert neighbours.index is not None
    assert neighbours.index.recall_every_s == 0
    build_generation(neighbours.model_id)
    neighbours.refresh()
    assert neighbours.index.recall_every_s == 100
    neighbours.search(make_vectors(1, seed=8), [SearchRequest(10)])
    assert neighbours.check_recall() is not None
    neighbours.search(make_vectors(1, seed=9), [SearchRequest(10)])
    assert neighbours.check_recall() is None


def test_without_a_search_there_is_nothing_to_check(neighbours: Neighbours) -> None:
    assert neighbours.check_recall() is None
    neighbours.search(make_vectors(0), [])
    assert neighbours.check_recall() is None


@pytest.mark.parametrize("indexed", [False, True])
def test_exact_search_is_not_checked(embedder: Embedder, gallery: list[Image], indexed: bool) -> None:
    if indexed:
        build_generation(embedder.model_id)
    neighbours = Neighbours(embedder.model_id)
    neighbours.refresh()
    neighbours.search(make_vectors(1), [SearchRequest(10)])
    assert neighbours.check_recall() is None


def test_the_sweep_adds_each_checked_search(worker: Worker, crowd: None, ask: Ask) -> None:
    number = build_generation(worker.embedder.model_id).number
    worker.count_recall()
    assert recall.measured(number) is None
    for picture in (1, 2):
        add(picture)  # a gallery that grows meanwhile changes nothing
        ask(picture)
        answer_waiting(worker, 32)
        worker.count_recall()
        worker.count_recall()
    with workers.connect() as redis:
        [key] = redis.keys("simsearch:recall:*")
        assert redis.hget(key, "true") == b"20"
        assert 0 < redis.ttl(key) <= recall.KEPT_S
    measured = recall.measured(number)
    assert measured is not None
    assert 0 < measured <= 1


def test_the_sweep_counts_nothing_for_exact_search(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    number = build_generation(worker.embedder.model_id).number
    ask(3)
    answer_waiting(worker, 32)
    worker.count_recall()
    assert recall.measured(number) is None


def test_the_share_is_that_of_all_checked_searches() -> None:
    recall.count(5, 10, 10)
    recall.count(5, 8, 10)
    recall.count(6, 1, 2)
    assert (recall.measured(5), recall.measured(6), recall.measured(7)) == (0.9, 0.5, None)


def test_a_search_that_found_none_counts_as_one() -> None:
    recall.count(5, 0, 10)
    assert recall.measured(5) == 0
