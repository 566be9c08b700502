"""One query vector from several pictures."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.index.feedback import combined
from engine.networks.embedder import Embedder
from tests.tasks.known import at

NONE = np.empty((0, 4096), np.float32)


def degrees(vector: NDArray[np.float32]) -> float:
    return math.degrees(math.atan2(vector[1], vector[0]))


def test_the_mean_of_two_lies_between_them() -> None:
    vector = combined(np.stack([at(0), at(60)]), NONE)
    assert degrees(vector) == pytest.approx(30, abs=1e-3)


def test_a_negative_one_pushes_away_by_half() -> None:
    vector = combined(np.stack([at(0)]), np.stack([at(60)]))
    # (1, 0) - 0.5 * (cos 60°, sin 60°), by hand
    assert degrees(vector) == pytest.approx(math.degrees(math.atan2(-math.sqrt(3) / 4, 0.75)), abs=1e-3)


def test_two_negative_ones_push_no_harder_than_one() -> None:
    one, two = (combined(np.stack([at(0)]), np.stack([at(60)] * count)) for count in (1, 2))
    assert two == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("angles", [([0, 60], [200]), ([10], [10]), ([0, 180], []), ([0, 180], [0])])
def test_the_length_is_one(angles: tuple[list[float], list[float]]) -> None:
    positive, negative = (np.stack([at(angle) for angle in side]) if side else NONE for side in angles)
    vector = combined(positive, negative)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def labelled(shared_photos: Path) -> NDArray[np.float32]:
    """Embeddings [20 labels, 25 pictures, 4096] of real photographs."""
    embedder = Embedder.load("efficientnet_lite0", device="cpu", threads=1)
    kinds = sorted(folder for folder in shared_photos.iterdir() if folder.is_dir())
    files = [file for kind in kinds for file in sorted(kind.iterdir())[:25]]
    vectors = embedder.embed_prepared([embedder.read(file.read_bytes()) for file in files])
    return vectors.reshape(len(kinds), 25, -1)


def test_one_minus_turns_a_mixed_search_to_the_wanted_label(labelled: NDArray[np.float32]) -> None:
    """Search with a picture of each of two labels, for each pair of labels; then one minus on a match of the other.

    Hardly any of the other label is left, and as many of the wanted one as its picture finds alone. That is below 9 for
    4 of the 20 labels, such as helicopters, whose nearest pictures are aeroplanes.
    """
    kinds, each, size = labelled.shape
    vectors, labels = labelled.reshape(-1, size), np.repeat(np.arange(kinds), each)
    before, after, alone, left = [], [], [], []
    for wanted in range(kinds):
        for other in range(kinds):
            if wanted == other:
                continue
            named = [each * wanted + other % each, each * other + wanted % each]
            ranked = _ranked(vectors, combined(vectors[named], NONE), named)
            before.append(np.count_nonzero(labels[ranked[:10]] == wanted))
            unwanted = int(ranked[labels[ranked] == other][0])
            ranked = _ranked(vectors, combined(vectors[named], vectors[[unwanted]]), [*named, unwanted])
            after.append(np.count_nonzero(labels[ranked[:10]] == wanted))
            left.append(np.count_nonzero(labels[ranked[:10]] == other))
            ranked = _ranked(vectors, vectors[named[0]], named[:1])
            alone.append(np.count_nonzero(labels[ranked[:10]] == wanted))
    assert np.mean(before) < 6
    assert np.mean(after) >= 9
    assert np.mean(after) > np.mean(alone) - 0.2
    assert np.mean(left) < 0.1


def _ranked(vectors: NDArray[np.float32], query: NDArray[np.float32], without: list[int]) -> NDArray[np.intp]:
    ranked = np.argsort(-(vectors @ query), kind="stable")
    return np.asarray(ranked[~np.isin(ranked, without)])
