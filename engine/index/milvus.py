"""A Milvus server: collections of embeddings, each reduced by PCA and searched by HNSW.

pymilvus connects to Milvus Lite's server, Milvus Standalone and Milvus Distributed.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from engine.errors import IndexAway
from engine.index.protocol import Ids
from engine.index.ranking import Hits, Vectors

CALL_S = 10.0  # a server that does not answer within this time counts as away
PING_S = 5.0  # shorter than the life of a heartbeat: a silent server must not look like a dead worker
LOAD_S = 3000.0  # the graph of some million rows
GRAPH = {"M": 16, "efConstruction": 200}  # as hnswlib's README proposes
FEWEST_FOR_GRAPH = 10_000  # rows; with fewer the server compares all until it builds a graph by itself
MOST = 16_384  # results that Milvus returns for a query
ROWS = 10_000  # written at once, or named in a filter: 5 MB, 100 kB


class Milvus:
    """A connection, for one process: gRPC does not survive a fork. Every method raises IndexAway."""

    def __init__(self, uri: str, token: str = "") -> None:
        self._uri = uri
        with self._answering():
            self._client = MilvusClient(uri, token=token, timeout=CALL_S)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    # --- Collections ----------------------------------------------------------------------------------------

    def create(self, name: str, dimension: int) -> None:
        """Make an empty collection; it replaces one of that name, which a killed build may have left."""
        self.drop(name)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("label", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        graph = MilvusClient.prepare_index_params()
        graph.add_index("vector", index_type="HNSW", metric_type="COSINE", params=GRAPH)
        with self._answering():
            self._client.create_collection(name, schema=schema, consistency_level="Bounded", timeout=LOAD_S)
            self._client.create_index(name, graph, timeout=LOAD_S)

    def complete(self, name: str, count: int) -> None:
        """Wait until all `count` written rows can be searched, through the graph where that is quicker."""
        deadline = time.monotonic() + LOAD_S
        with self._answering():
            if count >= FEWEST_FOR_GRAPH:
                self._client.flush(name, timeout=LOAD_S)
            while int(self._client.describe_index(name, "vector").get("pending_index_rows") or 0) >= FEWEST_FOR_GRAPH:
                if time.monotonic() > deadline:
                    raise MilvusException(message=f"the graph of {name} is not built yet")
                time.sleep(0.2)
        self.load(name)

    def load(self, name: str) -> None:
        """Have the server keep the collection in memory; quick where it does already."""
        with self._answering():
            self._client.load_collection(name, timeout=LOAD_S)

    def has(self, name: str) -> bool:
        """Return whether the collection exists."""
        with self._answering():
            return bool(self._client.has_collection(name, timeout=CALL_S))

    def names(self, prefix: str) -> list[str]:
        """Return the collections whose names begin so."""
        with self._answering():
            return sorted(name for name in self._client.list_collections() if name.startswith(prefix))

    def drop(self, name: str) -> None:
        """Delete the collection, with the aliases that point to it, if it is there."""
        with self._answering():
            if not self._client.has_collection(name, timeout=CALL_S):
                return
            for alias in self._client.list_aliases(name, timeout=CALL_S).get("aliases", []):
                self._client.drop_alias(alias, timeout=CALL_S)
            self._client.drop_collection(name, timeout=LOAD_S)

    def point(self, alias: str, name: str) -> None:
        """Point the alias to this collection, for other programs."""
        with self._answering():
            if alias in self._client.list_aliases(name, timeout=CALL_S).get("aliases", []):
                return
            try:
                self._client.alter_alias(name, alias, timeout=CALL_S)
            except MilvusException:  # there is none of that name yet
                self._client.create_alias(name, alias, timeout=CALL_S)

    # --- Rows -----------------------------------------------------------------------------------------------

    def write(self, name: str, ids: Ids, labels: Sequence[str], vectors: Vectors) -> None:
        """Add rows, or replace those of the same ids; safe to repeat."""
        rows = [
            {"id": id_, "label": label_number(label), "vector": vector}
            for id_, label, vector in zip(ids.tolist(), labels, vectors, strict=True)
        ]
        with self._answering():
            for start in range(0, len(rows), ROWS):
                self._client.upsert(name, rows[start : start + ROWS], timeout=LOAD_S)

    def known(self, name: str, ids: Ids) -> Ids:
        """Return which of the ids the collection has, including the latest writes."""
        found: list[int] = []
        with self._answering():
            for start in range(0, len(ids), ROWS):
                rows = self._client.query(
                    name,
                    filter=among(ids[start : start + ROWS]),
                    output_fields=["id"],
                    consistency_level="Strong",
                    timeout=LOAD_S,
                )
                found += [row["id"] for row in rows]
        return np.array(sorted(found), np.int64)

    def nearest(self, name: str, vectors: Vectors, count: int, where: str = "") -> list[Hits]:
        """Return up to `count` rows, nearest first, for each of vectors [q, d]; of those that `where` leaves."""
        limit = min(count, MOST)
        with self._answering():
            found = self._client.search(
                name,
                list(vectors),
                filter=where,
                limit=limit,
                search_params={"metric_type": "COSINE", "params": {"ef": limit}},
                consistency_level="Bounded",
                timeout=CALL_S,
            )
        return [
            Hits(
                np.array([row["id"] for row in rows], np.int64),
                np.array([row["distance"] for row in rows], np.float32),
            )
            for rows in found
        ]

    def ping(self, name: str) -> None:
        """Raise IndexAway unless the collection can be searched."""
        with self._answering():
            self._client.query(name, filter="id == 0", output_fields=["id"], timeout=PING_S)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, grpc.RpcError) as error:
            reason = " ".join(str(getattr(error, "message", "") or error).split())[:300]
            raise IndexAway(f"Milvus at {self._uri} does not answer: {reason}") from error


def among(ids: Ids) -> str:
    """Return the filter expression for these ids."""
    return f"id in {ids.tolist()}"


def of_labels(labels: Sequence[str]) -> str:
    """Return the filter expression for these labels; empty without labels."""
    return f"label in {sorted(map(label_number, labels))}" if labels else ""


def label_number(label: str) -> int:
    """Return the number that stands for a label in a collection: no text of a visitor gets into a filter.

    Two labels may share one; a search by label therefore compares the real labels of what is found.
    """
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), signed=True)
