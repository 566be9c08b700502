"""One query vector from several pictures."""

import numpy as np

from engine.index.ranking import Vectors

NEGATIVE_WEIGHT = np.float32(0.5)


def combined(positive: Vectors, negative: Vectors) -> Vectors:
    """Return [4096] of unit length: the mean of positive [p, 4096] minus half the mean of negative [n, 4096].

    p is at least 1, n may be 0. Rocchio, "Relevance feedback in information retrieval", in: Salton (ed.), The SMART
    Retrieval System, 1971.
    """
    vector = positive.mean(axis=0)
    if len(negative):
        vector = vector - NEGATIVE_WEIGHT * negative.mean(axis=0)
    length = np.linalg.norm(vector)
    # Opposite pictures cancel out: then only the first one is searched.
    found: Vectors = (vector / length if length > 0 else positive[0]).astype(np.float32)
    return found
