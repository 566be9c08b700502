"""A label leaves the rest out and costs no match that exists, with an index and without."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.models import Embedding, Image
from tasks.indexing.build import build_generation
from tasks.search.neighbours import Neighbours, SearchRequest
from tests.engine.galleries import make_vectors

MODEL_ID, COUNT = "efficientnet_lite0-test-p1", 1500


SHARES = {"rare": 0.02, "frequent": 0.5}


def made_up_gallery() -> tuple[list[Image], NDArray[np.float32]]:
    """Pictures without files, and their vectors; labelled by SHARES, the rest without a label."""
    random, vectors = np.random.default_rng(3), make_vectors(COUNT)
    labels = random.choice([*SHARES, ""], COUNT, p=[*SHARES.values(), 1 - sum(SHARES.values())])
    images = [
        Image(content_hash=f"{n:064x}", label=str(label), width_px=1, height_px=1) for n, label in enumerate(labels)
    ]
    Image.objects.bulk_create(images)
    Embedding.objects.bulk_create(
        Embedding(image_id=image.content_hash, model_id=MODEL_ID, vector=vector.astype("<f2").tobytes())
        for image, vector in zip(images, vectors, strict=True)
    )
    return images, vectors


@pytest.mark.parametrize("indexed", [False, True])
def test_the_true_ten_of_a_label_are_found(db: None, indexed: bool) -> None:
    images, vectors = made_up_gallery()
    if indexed:
        build_generation(MODEL_ID)
    neighbours = Neighbours(MODEL_ID)
    neighbours.refresh()
    assert (neighbours.index is not None) == indexed
    for label in SHARES:
        [found] = neighbours.search(vectors[:1], [SearchRequest(10, labels=(label,))])
        rows = np.flatnonzero([image.label == label for image in images])
        true = rows[np.argsort(-(vectors[rows] @ vectors[0]), kind="stable")][:10]
        assert len(true) == 10
        assert [match.image for match in found] == [images[row].pk for row in true]
