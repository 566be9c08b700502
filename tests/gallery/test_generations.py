"""Index generations: one build at a time, one active."""

import pytest
from django.db import IntegrityError, transaction

from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.models import Embedding, Image, IndexGeneration
from tests.gallery.rows import ago, gone_process

pytestmark = pytest.mark.django_db


def built(*, images: int = 10, last_embedding: int = 10, model_id: str = "efficientnet_lite0") -> IndexGeneration:
    generation = generations.start(model_id)
    generations.activate(generation, images=images, last_embedding=last_embedding, manifest={"recall": 1.0})
    return generation


def failed_build() -> IndexGeneration:
    generation = generations.start("efficientnet_lite0")
    generations.fail(generation, "The disk is full.")
    return generation


def embeddings(count: int, model_id: str = "efficientnet_lite0") -> list[int]:
    """Return that many more embeddings, of pictures without files; their ids."""
    start = Image.objects.count()
    images = [Image(content_hash=f"{n:064}", width_px=1, height_px=1) for n in range(start, start + count)]
    Image.objects.bulk_create(images)
    Embedding.objects.bulk_create(Embedding(image=image, model_id=model_id, vector=b"") for image in images)
    return list(Embedding.objects.order_by("id").values_list("id", flat=True))[-count:]


def now(generation: IndexGeneration) -> IndexGeneration:
    return IndexGeneration.objects.get(pk=generation.pk)


def lose_the_lease(generation: IndexGeneration) -> None:
    IndexGeneration.objects.filter(pk=generation.pk).update(lease_until=ago(1))


# Building


def test_a_finished_build_becomes_the_active_one() -> None:
    generation = built(images=7, last_embedding=9)
    row = now(generation)
    assert generations.active() == row
    assert (row.state, row.images, row.last_embedding, row.manifest) == ("ready", 7, 9, {"recall": 1.0})
    assert row.activated_at is not None
    assert (generation.is_active, generation.state) == (True, "ready")


def test_the_next_one_takes_over_in_one_step() -> None:
    first, second = built(), built()
    assert generations.active() == second
    assert not now(first).is_active


def test_the_active_one_stays_until_the_next_is_finished() -> None:
    first = built()
    generation = generations.start("efficientnet_lite0")
    assert generations.active() == first
    generations.fail(generation, "The disk is full.")
    assert generations.active() == first
    assert (now(generation).state, now(generation).error) == ("failed", "The disk is full.")


def test_only_one_build_at_a_time() -> None:
    generations.start("efficientnet_lite0")
    with pytest.raises(generations.Busy):
        generations.start("efficientnet_lite0")
    assert IndexGeneration.objects.count() == 1


def test_the_place_is_free_after_a_failure() -> None:
    failed_build()
    assert generations.start("efficientnet_lite0").state == "building"


@pytest.mark.parametrize("sign", ["its lease is over", "its process is gone"])
def test_a_dead_build_loses_its_place(sign: str) -> None:
    dead = generations.start("efficientnet_lite0")
    if sign == "its lease is over":
        lose_the_lease(dead)
    else:
        IndexGeneration.objects.filter(pk=dead.pk).update(builder=gone_process())
    heir = generations.start("efficientnet_lite0")
    assert (now(dead).state, bool(now(dead).error)) == ("failed", True)
    with pytest.raises(generations.Busy):
        generations.keep_alive(dead)
    with pytest.raises(generations.Busy):
        generations.activate(dead, images=1, last_embedding=1, manifest={})
    assert generations.active() is None
    generations.activate(heir, images=1, last_embedding=1, manifest={})
    assert generations.active() == heir


def test_a_sign_of_life_keeps_the_place() -> None:
    generation = generations.start("efficientnet_lite0")
    lose_the_lease(generation)
    generations.keep_alive(generation)
    with pytest.raises(generations.Busy):
        generations.start("efficientnet_lite0")


def test_a_failure_that_comes_late_changes_nothing() -> None:
    generation = built()
    generations.fail(generation, "Stopped.")
    assert (now(generation).state, now(generation).is_active) == ("ready", True)


def test_the_database_refuses_a_second_active_generation() -> None:
    built()
    with pytest.raises(IntegrityError), transaction.atomic():
        IndexGeneration.objects.create(model_id="efficientnet_lite0", state="ready", is_active=True)


# The active model


def test_the_active_generation_names_the_active_model() -> None:
    assert generations.active_model_id() is None
    built(model_id="alexnet")
    assert generations.active_model_id() == "alexnet"


def test_a_build_of_a_model_that_is_not_active_is_kept_beside() -> None:
    first = built()
    beside = built(model_id="alexnet")
    assert (beside.is_active, beside.state, beside.images) == (False, "ready", 10)
    assert generations.active() == first
    assert generations.newest("alexnet") == beside


def test_another_model_is_active_once_it_has_embedded_every_picture() -> None:
    embeddings(2)
    built()
    beside = built(model_id="alexnet")
    for image in Image.objects.all():
        assert not generations.serve(beside)
        Embedding.objects.create(image=image, model_id="alexnet", vector=b"")
    assert generations.active_model_id() == "efficientnet_lite0"
    assert generations.serve(beside)
    assert generations.active() == now(beside)


def test_one_that_was_deleted_since_leaves_the_active_one() -> None:
    first, gone = built(), built(model_id="alexnet")
    IndexGeneration.objects.filter(pk=gone.pk).delete()
    with pytest.raises(IndexGeneration.DoesNotExist):
        generations.serve(gone)
    assert generations.active() == first


def test_a_picture_that_cannot_be_embedded_holds_no_change_back() -> None:
    embeddings(1)
    built()
    beside = built(model_id="alexnet")
    Image.objects.update(problem="It is damaged.")
    assert generations.serve(beside)


# Old ones


def test_the_newest_three_of_each_kind_and_the_active_one_are_kept() -> None:
    failed = [failed_build() for _ in range(4)]
    ready = [built() for _ in range(5)]
    IndexGeneration.objects.filter(is_active=True).update(is_active=False)
    IndexGeneration.objects.filter(pk=ready[0].pk).update(is_active=True)
    building = generations.start("efficientnet_lite0")
    wanted = generations.prune()
    assert wanted == {generation.number for generation in [ready[0], *ready[2:], building]}
    assert set(IndexGeneration.objects.all()) == {ready[0], *ready[2:], *failed[1:], building}


def test_the_newest_of_another_model_is_kept() -> None:
    _older, newest = built(model_id="alexnet"), built(model_id="alexnet")
    generations.serve(built())
    latest = [built() for _ in range(4)]
    assert generations.prune() == {newest.number, *(generation.number for generation in latest[1:])}


# When a rebuild pays


def test_a_request_ends_when_another_generation_is_chosen() -> None:
    older = built()
    built()
    assert generations.request_rebuild()
    assert generations.status("efficientnet_lite0") is IndexStatus.STALE
    generations.choose(older)
    assert generations.status("efficientnet_lite0") is not IndexStatus.STALE
    assert not IndexGeneration.objects.filter(is_rebuild_requested=True).exists()


def test_an_empty_gallery_needs_no_index() -> None:
    assert generations.status("efficientnet_lite0") is IndexStatus.CURRENT


def test_a_gallery_without_an_index_needs_one() -> None:
    embeddings(1)
    assert generations.status("efficientnet_lite0") is IndexStatus.STALE


def test_no_rebuild_pays_for_a_model_that_is_not_active() -> None:
    built(model_id="alexnet")
    embeddings(64, "efficientnet_lite0")
    assert generations.status("efficientnet_lite0") is IndexStatus.OTHER_MODEL
    embeddings(64, "alexnet")
    assert generations.status("alexnet") is IndexStatus.STALE


@pytest.mark.parametrize(("newer", "stale"), [(63, False), (64, True)])
def test_a_few_new_pictures_do_not_pay(newer: int, stale: bool) -> None:
    built(images=100, last_embedding=embeddings(100)[-1])
    embeddings(newer)
    assert generations.newer_than(generations.active(), "efficientnet_lite0") == newer
    assert generations.status("efficientnet_lite0") is (IndexStatus.STALE if stale else IndexStatus.BEHIND)


def test_in_a_large_gallery_the_share_counts() -> None:
    built(images=2000, last_embedding=embeddings(2000)[-1])
    embeddings(99)
    assert generations.status("efficientnet_lite0") is IndexStatus.BEHIND
    embeddings(1)
    assert generations.status("efficientnet_lite0") is IndexStatus.STALE
