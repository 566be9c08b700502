"""A burst of near-duplicates in a large gallery is one match, and costs no search of everything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.test import override_settings
from numpy.typing import NDArray
from pytest_django import DjangoDbBlocker, Settings

from engine.index.annoy_index import AnnoyCandidates, Index
from engine.index.ranking import Hits
from gallery.index import generations
from gallery.models import Embedding, Image
from gallery.queries.lifecycle import LISTED, Found
from tasks.indexing.build import build_generation
from tasks.search.near_duplicates import Rule
from tasks.search.neighbours import Neighbours, SearchRequest
from tests.engine.galleries import MODEL_ID, make_vectors, unit
from tests.tasks.known import add_vectors

pytestmark = pytest.mark.annoy  # it watches what Annoy is asked for

BURST = 500  # near-duplicates of one picture: cosine 0.99 with each other
RULE = Rule(0.985, by_cosine_alone=True)
OTHERS = 2000


class Watched(Index):
    """An index that remembers what it was searched for."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.seen: list[AnnoyCandidates] = []
        self.compared_all = 0

    def candidates(self, *query: Any, **options: Any) -> list[AnnoyCandidates]:
        found = super().candidates(*query, **options)
        self.seen += found
        return found

    def search_among(self, *query: Any) -> Hits:
        self.compared_all += 1
        return super().search_among(*query)


def search_watched(vectors: NDArray[np.float32], request: SearchRequest) -> tuple[list[Found], Watched]:
    active = generations.active()
    assert active is not None
    neighbours = Neighbours(MODEL_ID)
    neighbours.refresh()
    neighbours.index = watched = Watched.open(active.directory)
    [found] = neighbours.search(vectors, [request])
    return found, watched


@pytest.fixture(scope="module")
def made_once(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, NDArray[np.float32]]]:
    """Provide a gallery of 2,500 with 500 near-duplicates of one picture, in a transaction around those of the tests.

    Returns the folder of its generation, and the embedding of that picture.
    """
    root = tmp_path_factory.mktemp("index")
    others = make_vectors(OTHERS + 1)
    noise = np.random.default_rng(2).standard_normal((BURST, 4096), np.float32)
    copies = unit(others[0] + 0.1 * unit(noise))
    with django_db_blocker.unblock(), transaction.atomic():
        add_vectors(MODEL_ID, np.concatenate([others[1:], copies]))
        with override_settings(INDEX_ROOT=root):
            build_generation(MODEL_ID)
        yield root, others[:1]
        transaction.set_rollback(True)


@pytest.fixture
def burst(made_once: tuple[Path, NDArray[np.float32]], settings: Settings, db: None) -> NDArray[np.float32]:
    """Return the embedding of the picture that has the near-duplicates; what a test changes is rolled back."""
    settings.INDEX_ROOT, embedding = made_once
    return embedding


def test_a_burst_is_one_match_without_comparing_every_picture(burst: NDArray[np.float32]) -> None:
    found, index = search_watched(burst, SearchRequest(10, near_duplicates=RULE))
    assert len(found) == 10
    assert len(found[0].duplicates) == LISTED
    [candidates] = index.seen
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
    without = frozenset([before.image] if way == "asked about" else [])
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
    assert index.seen[0].compared == index.manifest.parameters.candidates
    assert index.compared_all == 0


def test_a_gallery_of_few_scenes_is_compared_to_the_end(burst: NDArray[np.float32]) -> None:
    found, _ = search_watched(burst, SearchRequest(10, near_duplicates=Rule(-1.0, by_cosine_alone=True)))
    assert [len(match.duplicates) for match in found] == [LISTED]


def test_a_burst_that_was_added_later_is_one_match_too(burst: NDArray[np.float32]) -> None:
    noise = np.random.default_rng(5).standard_normal((40, 4096), np.float32)
    add_vectors(MODEL_ID, unit(burst + 0.1 * unit(noise)))
    found, index = search_watched(burst, SearchRequest(10, near_duplicates=RULE))
    assert len(found) == 10
    assert len(found[0].duplicates) == LISTED
    assert index.compared_all == 0
