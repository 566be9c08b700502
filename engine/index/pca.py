"""PCA: the 4096 numbers of an embedding reduced to the few that distinguish the pictures of one gallery."""

import numpy as np

from engine.index.ranking import Vectors

SAMPLE = 8000  # rows that the components are computed from; they take 131 MB of memory
OVERSAMPLING = 128  # Halko, Martinsson and Tropp 2011, section 4.2: 5 to 10 are enough; more raise the recall by 0.002
POWER_ITERATIONS = 2  # the same, section 4.5: for a spectrum that falls as slowly as that of embeddings
BLOCK_ROWS = 4096  # 64 MB of float32


def principal_components(vectors: Vectors, dimension: int, seed: int) -> Vectors:
    """Return the first components [dimension, 4096] of a sample of vectors [n, 4096]: orthonormal, largest first.

    The vectors are not centred: they have unit length and are compared by their cosine, so their mean counts.
    With fewer than `dimension` vectors the last components are arbitrary directions orthogonal to all of them,
    which change no order. Randomised SVD: one seed gives the same components on one machine.
    """
    random = np.random.default_rng(seed)
    rows = np.sort(random.choice(len(vectors), min(len(vectors), SAMPLE), replace=False))
    sample = vectors[rows]
    span = random.standard_normal((vectors.shape[1], dimension + OVERSAMPLING), dtype=np.float32)
    for _ in range(POWER_ITERATIONS):
        span, _ = np.linalg.qr(sample.T @ (sample @ span))
    projected = sample @ span
    _, axes = np.linalg.eigh(projected.T @ projected)
    return np.ascontiguousarray((span @ axes[:, ::-1][:, :dimension]).T)


def reduced(vectors: Vectors, components: Vectors) -> Vectors:
    """Return vectors [n, 4096] projected on components [d, 4096] and brought to unit length: [n, d]."""
    projected = np.empty((len(vectors), len(components)), np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        np.matmul(vectors[start : start + BLOCK_ROWS], components.T, out=projected[start : start + BLOCK_ROWS])
    return unit(projected)


def reduced_one(vector: Vectors, components: Vectors) -> Vectors:
    """Do the same for one vector [4096]: [d], always the same bits, without BLAS's threads."""
    projected: Vectors = unit(np.vecdot(components, vector)[None])[0]
    return projected


def unit(vectors: Vectors) -> Vectors:
    """Return vectors [n, d] brought to unit length; a row of zeros stays one."""
    lengths = np.sqrt(np.vecdot(vectors, vectors))[:, None]
    scaled: Vectors = np.divide(vectors, np.where(lengths > 0, lengths, 1), dtype=np.float32)
    return scaled
