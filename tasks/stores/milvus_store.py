"""Generations as collections of a Milvus server, and the embeddings in the database that belong to them."""

from collections import OrderedDict
from collections.abc import Set
from typing import Any

import numpy as np
from django.conf import settings

from engine.errors import BadIndex, IndexAway, OldIndex
from engine.images.fingerprints import BYTES, Fingerprints
from engine.index.build import DIMENSION
from engine.index.milvus import Milvus
from engine.index.milvus_index import MilvusIndex
from engine.index.pca import SAMPLE, principal_components, reduced, unit
from engine.index.protocol import Ids
from engine.index.ranking import Vectors
from engine.networks.registry import EMBEDDING_SIZE
from gallery.models import Embedding, IndexGeneration
from tasks.search.delta import READ_ROWS, Row, read_rows, to_fingerprints, to_vectors
from tasks.stores import MILVUS, EmbeddingSource, Progress
from tasks.stores.milvus_tuning import FEWEST_CANDIDATES, TARGET, self_test, tune

SEED = 1
KEPT = 4096  # embeddings that an open generation caches: 32 MB; those of one search are read twice


class MilvusStore:
    """The server at SIMSEARCH_MILVUS_URI. Every method raises IndexAway if it does not answer."""

    def __init__(self) -> None:
        self._milvus: Milvus | None = None

    @property
    def milvus(self) -> Milvus:
        """The connection of this process."""
        if self._milvus is None:
            self._milvus = Milvus(settings.SIMSEARCH_MILVUS_URI, settings.SIMSEARCH_MILVUS_TOKEN)
        return self._milvus

    def write(self, generation: IndexGeneration, source: EmbeddingSource, progress: Progress) -> dict[str, Any]:
        """Write a generation, test it, and return the `manifest` of its row. Raises BadIndex."""
        name = name_of(generation)
        try:
            progress("components", 0, 1)
            components = self._components(source.ids)
            IndexGeneration.objects.filter(pk=generation.pk).update(components=components.astype("<f2").tobytes())
            self.milvus.create(name, DIMENSION)
            done = 0
            for block, _ in source.blocks():
                self.add(name, source.ids[done : done + len(block)], unit(block), components)
                done += len(block)
                progress("vectors", done, len(source.ids))
            progress("graph", 0, 1)
            self.milvus.complete(name, len(source.ids))
            index = MilvusIndex(
                self.milvus,
                name,
                components,
                FEWEST_CANDIDATES,
                len(source.ids),
                EmbeddingCache().read,
                lambda: source.ids,
            )
            self_test(index)
            progress("measuring recall", 0, 1)
            tuned = tune(index, source)
        except (BadIndex, IndexAway):
            self.forget_connection()
            raise
        return {"engine": MILVUS, "candidates": tuned.candidates, "recall": tuned.recall, "recall_target": TARGET}

    def open(self, generation: IndexGeneration) -> MilvusIndex:
        """Open a generation. Raises OldIndex."""
        self._require(generation)
        name, last = name_of(generation), generation.last_embedding
        rows = Embedding.objects.filter(model_id=generation.model_id, id__lte=last).order_by("id")
        return MilvusIndex(
            self.milvus,
            name,
            components_of(generation),
            generation.manifest["candidates"],
            generation.images,
            EmbeddingCache().read,
            lambda: np.fromiter(rows.values_list("id", flat=True).iterator(), np.int64),
        )

    def is_here(self, generation: IndexGeneration) -> bool:
        """Return True: nothing has to be fetched."""
        return True

    def bring(self, generation: IndexGeneration) -> None:
        """Do nothing."""

    def follow(self) -> None:
        """Do nothing."""

    def not_fetched(self) -> tuple[int, str] | None:
        """Return None."""
        return None

    def is_outdated(self, generation: IndexGeneration) -> bool:
        """Return whether it is not a collection of this server: Annoy's, or lost with the server's data."""
        try:
            self._require(generation)
        except OldIndex:
            return True
        return False

    def problem(self, generation: int) -> str:
        """Return nothing: the next search notices a lost collection."""
        return ""

    def remove(self, generation: IndexGeneration) -> None:
        """Delete a generation, if it is there."""
        self.milvus.drop(name_of(generation))

    def clean(self, wanted: Set[int]) -> None:
        """Delete all generations but those of these numbers, and what killed builds left."""
        try:
            for name in self.milvus.names(f"{settings.SIMSEARCH_MILVUS_PREFIX}__"):
                if int(name.rpartition("__")[2]) not in wanted:
                    self.milvus.drop(name)
        except IndexAway:
            self.forget_connection()
            raise

    def add(self, name: str, ids: Ids, vectors: Vectors, components: Vectors) -> None:
        """Write embeddings into a collection, with the present labels of their pictures."""
        labels = dict(Embedding.objects.filter(id__in=ids.tolist()).values_list("id", "image__label"))
        self.milvus.write(name, ids, [labels.get(id_) or "" for id_ in ids.tolist()], reduced(vectors, components))

    def _require(self, generation: IndexGeneration) -> None:
        """Raise OldIndex unless the server has the collection; load it where the server was restarted."""
        try:
            there = generation.is_synchronised and self.milvus.has(name_of(generation))
            if there:
                self.milvus.load(name_of(generation))
        except IndexAway:
            self.forget_connection()
            raise
        if not there:
            raise OldIndex(
                f"The index {generation.number} is not in Milvus at {settings.SIMSEARCH_MILVUS_URI}; "
                "run manage.py build_index."
            )

    def forget_connection(self) -> None:
        """Drop the connection; the next call makes a new one."""
        # gRPC tries a lost connection again after up to two minutes, a new one at once.
        if self._milvus is not None:
            self._milvus.close()
            self._milvus = None

    def _components(self, ids: Ids) -> Vectors:
        chosen = np.random.default_rng(SEED).choice(ids, min(len(ids), SAMPLE), replace=False)
        _, vectors, _ = read(np.sort(chosen))
        return principal_components(vectors, DIMENSION, SEED).astype("<f2").astype(np.float32)


def name_of(generation: IndexGeneration) -> str:
    """Return the name of its collection."""
    return f"{alias_of(generation)}__{generation.number}"


def alias_of(generation: IndexGeneration) -> str:
    """Return the alias of the active collection of its model."""
    return f"{settings.SIMSEARCH_MILVUS_PREFIX}__{generation.model_id.replace('-', '_')}"


def components_of(generation: IndexGeneration) -> Vectors:
    """Return the PCA [d, 4096] of a generation."""
    [stored] = IndexGeneration.objects.filter(pk=generation.pk).values_list("components", flat=True)
    return np.frombuffer(bytes(stored or b""), "<f2").astype(np.float32).reshape(-1, EMBEDDING_SIZE)


# --- Embeddings in the database -----------------------------------------------------------------------------


def read(ids: Ids) -> tuple[Ids, Vectors, Fingerprints]:
    """Return those of ascending `ids` that there are, with vectors of unit length and fingerprints."""
    rows = [
        row for start in range(0, len(ids), READ_ROWS) for row in read_rows(ids[start : start + READ_ROWS].tolist())
    ]
    return _arrays(rows)


def _arrays(rows: list[Row]) -> tuple[Ids, Vectors, Fingerprints]:
    if not rows:
        return np.empty(0, np.int64), np.empty((0, EMBEDDING_SIZE), np.float32), np.empty((0, BYTES), np.uint8)
    ids = np.array([id_ for id_, _, _ in rows], np.int64)
    return ids, unit(to_vectors([vector for _, vector, _ in rows])), to_fingerprints([mark for _, _, mark in rows])


class EmbeddingCache:
    """Reads embeddings, and remembers the last KEPT of them: they never change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Row] = OrderedDict()

    def read(self, ids: Ids) -> tuple[Ids, Vectors, Fingerprints]:
        """Return those of ascending `ids` that there are, with vectors of unit length and fingerprints."""
        wanted = ids.tolist()
        found = {id_: self._kept[id_] for id_ in wanted if id_ in self._kept}
        missing = [id_ for id_ in wanted if id_ not in found]
        for start in range(0, len(missing), READ_ROWS):
            found |= {row[0]: row for row in read_rows(missing[start : start + READ_ROWS])}
        for id_ in wanted[-KEPT:]:
            if id_ in found:
                self._kept[id_] = found[id_]
                self._kept.move_to_end(id_)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return _arrays([found[id_] for id_ in wanted if id_ in found])
