"""Embedding new pictures, step by step."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from engine.networks.embedder import Embedder
from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.models import Embedding, Image
from gallery.operations import workers
from tasks import worker as process
from tasks.indexing.build import build_generation
from tasks.indexing.embedding import embed_all, embed_step
from tasks.tasks import curate
from tasks.worker import Worker
from tests.tasks.conftest import add


def test_a_step_embeds_no_more_than_its_limit(embedder: Embedder, db: None) -> None:
    for number in range(5):
        add(number)
    assert [embed_step(embedder, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert Embedding.objects.count() == 5


def test_an_unreadable_picture_is_marked_and_not_tried_again(embedder: Embedder, db: None) -> None:
    bad, good = add(1), add(2)
    bad.picture_file.path.write_bytes(b"\xff\xd8 not a picture")
    assert embed_step(embedder, 10) == 2
    assert embed_step(embedder, 10) == 0
    bad.refresh_from_db()
    assert bad.problem
    assert Embedding.objects.get().image == good


def test_lanes_side_by_side_look_at_every_picture_once(embedder: Embedder, db: None) -> None:
    bad, *good = [add(number) for number in range(8)]
    bad.picture_file.path.unlink()
    looked_at: list[int] = []
    embed_all(embedder, 2, looked_at.append, lanes=3)
    assert sorted(looked_at) == [2, 2, 2, 2]
    bad.refresh_from_db()
    assert bad.problem
    assert set(Embedding.objects.values_list("image_id", flat=True)) == {image.content_hash for image in good}


def test_embeddings_are_unit_float16(embedder: Embedder, gallery: list[Image]) -> None:
    sizes = {len(bytes(blob)) for blob in Embedding.objects.values_list("vector", flat=True)}
    assert sizes == {4096 * 2}


def test_an_index_is_stale_when_enough_is_newer(
    embedder: Embedder, gallery: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generations.status(embedder.model_id) is IndexStatus.STALE
    build_generation(embedder.model_id)
    assert generations.status(embedder.model_id) is IndexStatus.CURRENT
    add(99)
    embed_step(embedder, 10)
    assert generations.status(embedder.model_id) is not IndexStatus.CURRENT
    assert generations.status(embedder.model_id) is not IndexStatus.STALE


def test_a_picture_deleted_while_it_is_embedded_leaves_no_embedding(
    embedder: Embedder, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = add(1), add(2)
    embed = embedder.embed_prepared

    def embed_slowly(prepared: Sequence[Tensor]) -> NDArray[np.float32]:
        Image.objects.filter(pk=gone.pk).delete()
        return embed(prepared)

    monkeypatch.setattr(embedder, "embed_prepared", embed_slowly)
    embed_step(embedder, 10)
    assert Embedding.objects.get().image == kept


def test_an_empty_gallery_makes_no_index(embedder: Embedder, db: None) -> None:
    with pytest.raises(generations.BuildFailed, match="no picture"):
        build_generation(embedder.model_id)
    assert generations.active() is None


def test_a_worker_reports_its_device(worker: Worker) -> None:
    worker.neighbours.refresh()
    worker.report()
    [report] = workers.alive()
    assert (report.device, report.model) == ("cpu", "efficientnet_lite0")


def test_without_new_pictures_the_model_is_not_loaded(
    worker: Worker, gallery: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_generation(worker.embedder.model_id)
    monkeypatch.setattr(process, "_current", None)
    assert curate() == 0
    assert process._current is None
    add(40)
    assert curate() == 1
    assert process._current is not None
