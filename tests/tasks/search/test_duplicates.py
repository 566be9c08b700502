"""Pictures that look the same are one match with copies."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from pytest_django import Settings

from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery.models import Embedding, Image, Query
from gallery.queries import accept
from gallery.queries.accept import Parameters, Pictures
from gallery.results import matches
from gallery.timings import Stopwatch
from tasks.indexing.build import build_generation
from tasks.queries.answer import answer_waiting
from tasks.search.near_duplicates import Rule
from tasks.search.neighbours import Neighbours, SearchRequest
from tasks.worker import Worker
from tests.engine.galleries import MODEL_ID, make_vectors, unit
from tests.gallery.rows import now, uploaded
from tests.tasks.conftest import Ask, add_known, drawn, embed, picture
from tests.tasks.known import add_vectors

COPIES = 30


def copy_of(number: int, copy: int) -> Pillow.Image:
    """Return the same picture to the eye, another file: one pixel differs."""
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
        added.append(add_known(file.getvalue(), title=f"5 copy {copy}"))
    embed(embedder)
    return added


@pytest.mark.parametrize("indexed", [False, True])
def test_copies_are_one_match_and_the_others_still_make_ten(
    worker: Worker, copies: list[Image], ask: Ask, indexed: bool
) -> None:
    if indexed:
        build_generation(worker.embedder.model_id)
    query = ask(5)
    answer_waiting(worker, 32)
    shown = matches.shown(now(query))
    assert len(shown) == 10
    assert shown[0].image.title.startswith("5")
    assert len(shown[0].duplicates) == COPIES
    assert not any(found.image.title.startswith("5 copy") for found in shown[1:])
    assert [found.rank for found in shown] == list(range(1, 11))


def test_each_is_a_match_of_its_own_when_requested(worker: Worker, copies: list[Image]) -> None:
    query = accept.store(Pictures(files=[uploaded(picture(5))]), Parameters(collapse=False), Stopwatch())
    answer_waiting(worker, 32)
    shown = matches.shown(now(query))
    assert all(found.image.title.startswith("5") for found in shown)
    assert not any(found.duplicates for found in shown)


def test_a_hidden_copy_is_not_counted(worker: Worker, copies: list[Image], ask: Ask) -> None:
    query = ask(5)
    answer_waiting(worker, 32)
    found = matches.shown(now(query))[0]
    hidden, _ = found.duplicates[0]
    Image.objects.filter(pk=hidden.id).update(is_hidden=True)
    assert hidden not in [image for image, _ in matches.shown(now(query))[0].duplicates]


def test_the_threshold_decides(worker: Worker, copies: list[Image], embedder: Embedder) -> None:
    neighbours = Neighbours(embedder.model_id)
    neighbours.refresh()
    vectors = embedder.embed([drawn(5)])
    [strict] = neighbours.search(vectors, [SearchRequest(10, near_duplicates=Rule(1.01, by_cosine_alone=True))])
    [everything] = neighbours.search(vectors, [SearchRequest(10, near_duplicates=Rule(-1, by_cosine_alone=True))])
    assert len(strict) == 10
    assert not any(match.duplicates for match in strict)
    assert len(everything) == 1


def test_a_finished_query_names_one_generation(worker: Worker, gallery: list[Image], ask: Ask) -> None:
    number = build_generation(worker.embedder.model_id).number
    query = ask(1)
    answer_waiting(worker, 32)
    assert Query.objects.get(pk=query.pk).generation == number


# --- Fingerprints -------------------------------------------------------------------------------------------


def marked(*bits: int) -> bytes:
    """Return a fingerprint with these bits set, upright and mirrored."""
    half = np.zeros(256, np.uint8)
    half[list(bits)] = 1
    return np.packbits(half).tobytes() * 2


@pytest.mark.parametrize("indexed", [False, True])
def test_of_two_similar_pictures_the_one_with_another_fingerprint_is_no_copy(db: None, indexed: bool) -> None:
    [origin] = make_vectors(1)
    noise = np.random.default_rng(2).standard_normal((3, 4096), np.float32)
    add_vectors(MODEL_ID, np.concatenate([origin[None], unit(origin + 0.3 * unit(noise)), make_vectors(30, seed=5)]))
    images = [marked(*range(100)), marked(*range(110)), marked(*range(150, 250)), b""]
    for number, mark in enumerate(images):
        Embedding.objects.filter(image__title=str(number)).update(fingerprint=mark or None)
    if indexed:
        build_generation(MODEL_ID)
    neighbours = Neighbours(MODEL_ID)
    neighbours.refresh()
    [found] = neighbours.search(origin[None], [SearchRequest(10, near_duplicates=Rule(0.9))])
    titles = dict(Image.objects.values_list("id", "title"))
    assert titles[found[0].image] == "0"
    assert [titles[image] for image, _ in found[0].duplicates] == ["1"]
    assert {"2", "3"} <= {titles[match.image] for match in found}


def test_near_duplicates_are_those_of_the_model_unless_a_setting_says_otherwise(
    worker: Worker, settings: Settings
) -> None:
    assert worker.near_duplicates == Rule(registry.get(registry.DEFAULT).thresholds.duplicate)
    settings.SIMSEARCH_DUPLICATE_SIMILARITY = 0.9
    assert worker.near_duplicates == Rule(0.9, by_cosine_alone=True)
