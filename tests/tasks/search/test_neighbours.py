"""Freshness: the active generation, what is newer, and nothing that is hidden or gone."""

import logging

import numpy as np
import pytest

from engine.networks.embedder import Embedder
from gallery.index import generations
from gallery.models import Embedding, Image
from tasks.indexing.build import build_generation
from tasks.indexing.embedding import embed_step
from tasks.search.neighbours import Neighbours, SearchRequest
from tests.tasks.conftest import add, drawn


def titles(neighbours: Neighbours, embedder: Embedder, number: int, k: int = 10) -> list[str]:
    neighbours.refresh()
    [matches] = neighbours.search(embedder.embed([drawn(number)]), [SearchRequest(k)])
    names = {image.pk: image.title for image in Image.objects.all()}
    return [names[match.image] for match in matches]


@pytest.fixture
def neighbours(embedder: Embedder, gallery: list[Image]) -> Neighbours:
    return Neighbours(embedder.model_id)


def test_without_an_index_every_picture_is_compared(neighbours: Neighbours, embedder: Embedder) -> None:
    assert titles(neighbours, embedder, 3)[0] == "3"
    assert neighbours.generation is None
    assert neighbours.images == 16


def test_an_index_gives_the_same_answer(neighbours: Neighbours, embedder: Embedder) -> None:
    before = titles(neighbours, embedder, 3)
    generation = build_generation(embedder.model_id)
    assert titles(neighbours, embedder, 3) == before
    assert (neighbours.generation, neighbours.problem) == (generation.number, "")


def test_a_new_picture_is_found_without_a_rebuild(neighbours: Neighbours, embedder: Embedder) -> None:
    build_generation(embedder.model_id)
    titles(neighbours, embedder, 3)
    add(20)
    embed_step(embedder, 10)
    assert titles(neighbours, embedder, 20)[0] == "20"
    assert neighbours.images == 17


def test_a_hidden_and_a_deleted_picture_are_gone_at_once(neighbours: Neighbours, embedder: Embedder) -> None:
    build_generation(embedder.model_id)
    assert titles(neighbours, embedder, 3)[0] == "3"
    Image.objects.filter(title="3").update(is_hidden=True)
    assert "3" not in titles(neighbours, embedder, 3, k=16)
    Image.objects.get(title="4").delete()
    assert "4" not in titles(neighbours, embedder, 4, k=16)


def test_many_hidden_ones_leave_all_the_others(neighbours: Neighbours, embedder: Embedder) -> None:
    for number in range(30, 60):
        add(number)
    embed_step(embedder, 100)
    build_generation(embedder.model_id)
    near = titles(neighbours, embedder, 3, k=40)
    Image.objects.filter(title__in=near[:-10]).update(is_hidden=True)
    assert set(near[-10:]) <= set(titles(neighbours, embedder, 3, k=16))
    assert len(titles(neighbours, embedder, 3, k=16)) == 16


def test_a_picture_that_comes_back_is_embedded_again(neighbours: Neighbours, embedder: Embedder) -> None:
    build_generation(embedder.model_id)
    gone = Image.objects.get(title="7")
    gone.delete()
    assert not Embedding.objects.filter(image_id=gone.content_hash).exists()
    add(7)
    embed_step(embedder, 10)
    assert titles(neighbours, embedder, 7)[0] == "7"
    assert titles(neighbours, embedder, 3, k=16).count("7") == 1


def test_a_new_generation_is_noticed(neighbours: Neighbours, embedder: Embedder) -> None:
    first = build_generation(embedder.model_id)
    titles(neighbours, embedder, 3)
    second = build_generation(embedder.model_id)
    titles(neighbours, embedder, 3)
    assert (first.number, neighbours.generation) == (first.number, second.number)


@pytest.mark.annoy
def test_a_damaged_generation_is_never_opened_and_the_old_one_stays(
    neighbours: Neighbours, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    good = build_generation(embedder.model_id)
    before = titles(neighbours, embedder, 3)
    bad = build_generation(embedder.model_id)
    vectors = bad.directory / "vectors.npy"
    data = bytearray(vectors.read_bytes())
    data[-1] ^= 1
    vectors.write_bytes(data)
    with caplog.at_level(logging.ERROR):
        assert titles(neighbours, embedder, 3) == before
    assert neighbours.generation == good.number
    assert "damaged" in neighbours.problem
    assert [r.exc_info for r in caplog.records if r.levelno == logging.ERROR] == [None]


def test_a_generation_of_another_model_is_not_opened(neighbours: Neighbours, embedder: Embedder) -> None:
    own = build_generation(embedder.model_id)
    before = titles(neighbours, embedder, 3)
    other = "alexnet-000000000000-p1"
    vector = np.full(4096, 1 / 64, "<f2").tobytes()
    Embedding.objects.create(image_id="0" * 64, model_id=other, vector=vector)
    generations._switch_to(build_generation(other))
    assert titles(neighbours, embedder, 3) == before
    assert (neighbours.generation, neighbours.problem) == (own.number, "")


def test_two_builds_at_once_give_one_clear_refusal(embedder: Embedder, gallery: list[Image]) -> None:
    generations.start(embedder.model_id)
    with pytest.raises(generations.Busy, match="Another build"):
        build_generation(embedder.model_id)


def test_old_generations_go_but_the_newest_three(embedder: Embedder, gallery: list[Image]) -> None:
    built = [build_generation(embedder.model_id) for _ in range(5)]
    kept = {g.number for g in built[-3:]}
    assert {g.number for g in built if g.directory.is_dir()} - kept <= {built[-4].number}
    assert generations.active() == built[-1]
