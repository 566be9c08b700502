"""Pictures that look the same are one match with copies."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from pytest_django import Settings

from engine.index.annoy_index import Candidates, Index
from engine.index.ranking import Hits
from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery.curation import generations, importing
from gallery.models import Embedding, Image, Query
from gallery.queries import accept, results
from gallery.queries.accept import Parameters
from gallery.queries.results import LISTED, Found
from gallery.timings import Stopwatch
from tasks.answer import answer_waiting
from tasks.build import build_generation
from tasks.embedding import embed_step
from tasks.near_duplicates import Rule
from tasks.neighbours import Neighbours, SearchRequest
from tasks.worker import Worker
from tests.engine.galleries import NETWORK, make_vectors, unit
from tests.gallery.rows import now, uploaded
from tests.tasks.conftest import Ask, drawn, picture

COPIES = 30
BURST = 500  # near-duplicates of one picture: cosine 0.99 with each other
RULE = Rule(0.985, by_cosine_alone=True)
OTHERS = 2000


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
        added.append(importing.add(io.BytesIO(file.getvalue()), title=f"5 copy {copy}"))
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
    shown = results.shown(now(query))
    assert len(shown) == 10
    assert shown[0].image.title.startswith("5")
    assert len(shown[0].duplicates) == COPIES
    assert not any(found.image.title.startswith("5 copy") for found in shown[1:])
    assert [found.rank for found in shown] == list(range(1, 11))


def test_each_is_a_match_of_its_own_when_asked_for(worker: Worker, copies: list[Image]) -> None:
    query = accept.store(uploaded(picture(5)), Parameters(collapse=False), Stopwatch())
    answer_waiting(worker, 32)
    shown = results.shown(now(query))
    assert all(found.image.title.startswith("5") for found in shown)
    assert not any(found.duplicates for found in shown)


def test_a_hidden_copy_is_not_counted(worker: Worker, copies: list[Image], ask: Ask) -> None:
    query = ask(5)
    answer_waiting(worker, 32)
    found = results.shown(now(query))[0]
    hidden, _ = found.duplicates[0]
    Image.objects.filter(pk=hidden.id).update(is_hidden=True)
    assert hidden not in [image for image, _ in results.shown(now(query))[0].duplicates]


def test_the_threshold_decides(worker: Worker, copies: list[Image], embedder: Embedder) -> None:
    neighbours = Neighbours(embedder.network)
    neighbours.refresh()
    vectors = embedder.embed([drawn(5)])
    [strict] = neighbours.search(vectors, [SearchRequest(10, near_duplicates=Rule(1.01, by_cosine_alone=True))])
    [everything] = neighbours.search(vectors, [SearchRequest(10, near_duplicates=Rule(-1, by_cosine_alone=True))])
    assert len(strict) == 10
    assert not any(match.duplicates for match in strict)
    assert len(everything) == 1


def test_a_finished_query_names_one_generation(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    number = build_generation(worker.embedder.network).number
    query = ask(1)
    answer_waiting(worker, 32)
    assert Query.objects.get(pk=query.pk).generation == number


def add_vectors(network: str, vectors: NDArray[np.float32]) -> list[Image]:
    """Pictures as rows alone: titles count up, no files."""
    start = Image.objects.count()
    images = [
        Image(content_hash=f"{start + n:064x}", title=str(start + n), width_px=1, height_px=1)
        for n in range(len(vectors))
    ]
    Image.objects.bulk_create(images)
    Embedding.objects.bulk_create(
        Embedding(image_id=image.content_hash, network=network, vector=vector.astype("<f2").tobytes())
        for image, vector in zip(images, vectors, strict=True)
    )
    return images


class Watched(Index):
    """An index that remembers what it was searched for."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.asked: list[Candidates] = []
        self.compared_all = 0

    def candidates(self, *query: Any, **options: Any) -> list[Candidates]:
        found = super().candidates(*query, **options)
        self.asked += found
        return found

    def search_among(self, *query: Any) -> Hits:
        self.compared_all += 1
        return super().search_among(*query)


def search_watched(vectors: NDArray[np.float32], request: SearchRequest) -> tuple[list[Found], Watched]:
    active = generations.active()
    assert active is not None
    neighbours = Neighbours(NETWORK)
    neighbours.refresh()
    neighbours.index = watched = Watched.open(active.directory)
    [found] = neighbours.search(vectors, [request])
    return found, watched


@pytest.fixture
def burst(db: None) -> NDArray[np.float32]:
    """The embedding of a picture with 500 near-duplicates in a gallery of 2,500, and its generation."""
    others = make_vectors(OTHERS + 1)
    noise = np.random.default_rng(2).standard_normal((BURST, 4096), np.float32)
    copies = unit(others[0] + 0.1 * unit(noise))
    add_vectors(NETWORK, np.concatenate([others[1:], copies]))
    build_generation(NETWORK)
    return others[:1]


def test_a_burst_is_one_match_without_comparing_every_picture(burst: NDArray[np.float32]) -> None:
    found, index = search_watched(burst, SearchRequest(10, near_duplicates=RULE))
    assert len(found) == 10
    assert len(found[0].duplicates) == LISTED
    [candidates] = index.asked
    assert index.compared_all == 0
    assert BURST < candidates.compared < OTHERS


@pytest.mark.parametrize("way", ["hidden", "asked about"])
def test_the_list_of_a_burst_is_full_though_its_first_pictures_are_left_out(
    burst: NDArray[np.float32], way: str
) -> None:
    [before], _ = search_watched(burst, SearchRequest(1, near_duplicates=RULE))
    if way == "hidden":
        Image.objects.filter(pk__in=[before.image, *(image for image, _ in before.duplicates[:9])]).update(
            is_hidden=True
        )
    without = before.image if way == "asked about" else None
    found, _ = search_watched(burst, SearchRequest(10, without=without, near_duplicates=RULE))
    assert before.image not in {found[0].image, *(image for image, _ in found[0].duplicates)}
    assert len(found[0].duplicates) == LISTED


def test_the_matches_beside_a_burst_are_the_right_ones(burst: NDArray[np.float32]) -> None:
    found, index = search_watched(burst, SearchRequest(10, near_duplicates=RULE))
    true = [int(id_) for id_ in index.exact(burst, BURST + 9)[0].ids]
    ids = dict(Embedding.objects.values_list("image__id", "id"))
    shown = {ids[match.image] for match in found}
    assert len(shown & set(true)) >= 9


def test_a_search_without_a_burst_does_not_grow(burst: NDArray[np.float32]) -> None:
    _, index = search_watched(make_vectors(1, seed=3), SearchRequest(10, near_duplicates=RULE))
    assert index.asked[0].compared == index.manifest.parameters.candidates
    assert index.compared_all == 0


def test_a_gallery_of_few_scenes_is_compared_to_the_end(burst: NDArray[np.float32]) -> None:
    found, _ = search_watched(burst, SearchRequest(10, near_duplicates=Rule(-1.0, by_cosine_alone=True)))
    assert [len(match.duplicates) for match in found] == [LISTED]


def test_a_burst_that_was_added_later_is_one_match_too(burst: NDArray[np.float32]) -> None:
    noise = np.random.default_rng(5).standard_normal((40, 4096), np.float32)
    add_vectors(NETWORK, unit(burst + 0.1 * unit(noise)))
    found, index = search_watched(burst, SearchRequest(10, near_duplicates=RULE))
    assert len(found) == 10
    assert len(found[0].duplicates) == LISTED
    assert index.compared_all == 0


# --- Fingerprints -------------------------------------------------------------------------------------------


def marked(*bits: int) -> bytes:
    """A fingerprint with these bits set, upright and mirrored."""
    half = np.zeros(256, np.uint8)
    half[list(bits)] = 1
    return np.packbits(half).tobytes() * 2


@pytest.mark.parametrize("indexed", [False, True])
def test_of_two_similar_pictures_the_one_with_another_fingerprint_is_no_copy(db: None, indexed: bool) -> None:
    [origin] = make_vectors(1)
    noise = np.random.default_rng(2).standard_normal((3, 4096), np.float32)
    add_vectors(NETWORK, np.concatenate([origin[None], unit(origin + 0.3 * unit(noise)), make_vectors(30, seed=5)]))
    images = [marked(*range(100)), marked(*range(110)), marked(*range(150, 250)), b""]
    for number, mark in enumerate(images):
        Embedding.objects.filter(image__title=str(number)).update(fingerprint=mark or None)
    if indexed:
        build_generation(NETWORK)
    neighbours = Neighbours(NETWORK)
    neighbours.refresh()
    [found] = neighbours.search(origin[None], [SearchRequest(10, near_duplicates=Rule(0.9))])
    titles = dict(Image.objects.values_list("id", "title"))
    assert titles[found[0].image] == "0"
    assert [titles[image] for image, _ in found[0].duplicates] == ["1"]
    assert {"2", "3"} <= {titles[match.image] for match in found}


def test_near_duplicates_are_those_of_the_network_unless_a_setting_says_otherwise(
    worker: Worker, settings: Settings
) -> None:
    assert worker.near_duplicates == Rule(registry.get(registry.DEFAULT).thresholds.duplicate)
    settings.SIMSEARCH_DUPLICATE_SIMILARITY = 0.9
    assert worker.near_duplicates == Rule(0.9, by_cosine_alone=True)
