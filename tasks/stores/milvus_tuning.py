"""Test a new collection, and choose how many candidates its searches compare exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.index.check import NEIGHBOURS, PICTURES, SAME
from engine.index.milvus_index import MilvusIndex
from engine.index.pca import unit
from engine.index.protocol import TUNED_FOR
from engine.index.ranking import Vectors
from engine.index.tuning import BLEND, PARTNERS, SPARE
from tasks.stores import EmbeddingSource

TARGET = 0.99
QUERIES = 200  # 2,000 neighbours to find
FEWEST_CANDIDATES, STEP, MOST_CANDIDATES = 100, 1.3, 2000
SEED = 1


@dataclass(frozen=True)
class Tuned:
    """The chosen number of candidates, and the recall@10 that was measured with it."""

    candidates: int
    recall: float


def self_test(index: MilvusIndex) -> None:
    """Search the index for some of its own pictures: each, or a copy of it, comes first. Raises BadIndex."""
    ids = index.ids[np.unique(np.linspace(0, index.count - 1, min(PICTURES, index.count)).astype(np.intp))]
    expected = min(NEIGHBOURS, index.count)
    for id_, hits in zip(ids, index.search(index.stored(ids)[0], NEIGHBOURS), strict=True):
        if len(hits.ids) != expected or hits.similarities[0] < SAME:
            raise BadIndex(f"The new index does not pass its test (picture {id_} does not find itself).")


def tune(index: MilvusIndex, source: EmbeddingSource) -> Tuned:
    """Return the fewest candidates whose recall reaches TARGET with some to spare, or MOST_CANDIDATES.

    Queries are blends of a picture and one of those nearest to it, as in `engine.index.tuning.Sample`.
    """
    if index.count <= FEWEST_CANDIDATES:
        return Tuned(FEWEST_CANDIDATES, 1.0)
    queries, hidden = _draw(index)
    true = _nearest(source, queries, hidden)
    goal, candidates = 1 - (1 - TARGET) * (1 - SPARE), FEWEST_CANDIDATES
    while True:
        found = index.nearest(queries, candidates + hidden.shape[1])
        kept = [hits.ids[~np.isin(hits.ids, own)][:candidates] for hits, own in zip(found, hidden, strict=True)]
        recall = float(np.mean([np.isin(wanted, ids).mean() for wanted, ids in zip(true, kept, strict=True)]))
        if recall >= goal or candidates >= min(MOST_CANDIDATES, index.count):
            return Tuned(candidates, round(recall, 4))
        candidates = min(round(candidates * STEP), MOST_CANDIDATES)


def _draw(index: MilvusIndex) -> tuple[Vectors, NDArray[np.int64]]:
    """Return queries [q, 4096], and the two ids [q, 2] that each is made of."""
    random = np.random.default_rng(SEED)
    first = np.sort(random.choice(index.ids, min(QUERIES, index.count), replace=False))
    vectors = index.stored(first)[0]
    near = index.search(vectors, PARTNERS + 1)
    second = np.array([random.choice(hits.ids[hits.ids != id_]) for id_, hits in zip(first, near, strict=True)])
    share = random.uniform(*BLEND, (len(first), 1)).astype(np.float32)
    return unit((1 - share) * vectors + share * index.stored(second)[0]), np.stack([first, second], axis=1)


def _nearest(source: EmbeddingSource, queries: Vectors, hidden: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the exact ten nearest [q, 10] of all embeddings but the hidden ones, reading each once."""
    best_ids = np.empty((len(queries), 0), np.int64)
    best = np.empty((len(queries), 0), np.float32)
    done = 0
    for block, _ in source.blocks():
        ids = source.ids[done : done + len(block)]
        done += len(block)
        cosines = queries @ unit(block).T
        for column in hidden.T:
            cosines[column[:, None] == ids] = -np.inf
        best = np.concatenate([best, cosines], axis=1)
        best_ids = np.concatenate([best_ids, np.broadcast_to(ids, cosines.shape)], axis=1)
        order = np.argsort(-best, axis=1)[:, :TUNED_FOR]
        best, best_ids = np.take_along_axis(best, order, 1), np.take_along_axis(best_ids, order, 1)
    return best_ids
