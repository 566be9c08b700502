"""A label leaves the rest out and costs no match that exists, with an index and without."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.models import Embedding, Image
from tasks.build import build_generation
from tasks.neighbours import Neighbours, SearchRequest

NETWORK, COUNT = "efficientnet_lite0-test-p1", 1500


def made_up_gallery(share: float) -> tuple[list[Image], NDArray[np.float32], NDArray[np.bool_]]:
    """Pictures without files, their vectors, and which of them have the label `wanted`."""
    random = np.random.default_rng(3)
    vectors = np.abs(random.normal(size=(COUNT, 4096))).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = random.random(COUNT) < share
    images = [
        Image(content_hash=f"{n:064x}", label="wanted" if wanted[n] else "other", width_px=1, height_px=1)
        for n in range(COUNT)
    ]
    Image.objects.bulk_create(images)
    Embedding.objects.bulk_create(
        Embedding(image_id=image.content_hash, network=NETWORK, vector=vector.astype("<f2").tobytes())
        for image, vector in zip(images, vectors, strict=True)
    )
    return images, vectors, wanted


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_true_ten_of_a_label_are_found(db: None, indexed: bool, share: float) -> None:
    images, vectors, wanted = made_up_gallery(share)
    if indexed:
        active = build_generation(NETWORK)
        assert (active.directory / "index.ann").is_file()
    neighbours = Neighbours(NETWORK)
    neighbours.refresh()
    [found] = neighbours.search(vectors[:1], [SearchRequest(10, labels=("wanted",))])
    rows = np.flatnonzero(wanted)
    true = rows[np.argsort(-(vectors[rows] @ vectors[0]), kind="stable")][:10]
    assert [match.image for match in found] == [images[row].pk for row in true]
