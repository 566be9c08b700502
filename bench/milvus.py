"""Milvus' server against Annoy's files: `python -m bench.milvus [--photos DIR] [--count 100000]`.

The gallery and the queries are those of bench/index.py; embeddings lie in a database (SQLite), as candidates are ranked
by what is read from there. Both are searched in turns, one query at a time, in one thread.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.report import Row
    from engine.index.protocol import SearchIndex
    from engine.index.ranking import Vectors

K = 10
ROWS = 2000  # written at once


def main() -> None:
    """Make a site, build both indexes, print the table, write bench/out/milvus.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[2] / "shared" / "photos")
    parser.add_argument("--count", type=int, default=100_000)
    chosen = parser.parse_args()
    from tests import milvus  # the throw-away server of the tests

    with tempfile.TemporaryDirectory() as folder, milvus.Server() as server:
        os.environ |= {"SIMSEARCH_DATA_DIR": folder, "SECRET_KEY": "bench", "ALLOWED_HOSTS": "localhost"}
        os.environ |= {"SIMSEARCH_MILVUS_URI": server.uri, "DJANGO_SETTINGS_MODULE": "simsearch.settings"}
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from bench import report

        report.publish("milvus", list(measure(chosen.photos, chosen.count)))


def measure(photos: Path, count: int) -> "Iterator[Row]":
    """Yield the rows of the table."""
    from django.conf import settings

    from bench import gallery, report
    from bench.index import p50_ms, recall
    from engine.index.ranking import scan
    from tasks import stores
    from tasks.build import build_generation

    data = gallery.make(gallery.photographs(photos), count)
    ids, took_s, indexes = _fill(data.gallery), {}, {}
    for name in ("annoy", "milvus"):
        settings.SIMSEARCH_INDEX = name
        started = time.perf_counter()
        generation = build_generation("bench", lambda line: print(line, file=sys.stderr, flush=True))
        took_s[name] = time.perf_counter() - started
        indexes[name] = stores.chosen().open(generation)
    true = [hits.ids for hits in scan(data.gallery, ids, data.queries, K)]
    times = p50_ms(
        {name: partial(_search, index, data.queries) for name, index in indexes.items()},
        per_turn=60,
        queries=len(data.queries),
    )
    label = f"{count:,} "
    for name, index in indexes.items():
        found = (index.search(query[None], K)[0].ids for query in data.queries)
        yield report.at_least(f"{label}recall@10, {name}", recall(found, true), "", 0.99)
    yield report.against(f"{label}one search, against Annoy", times["milvus"], times["annoy"], "ms", 3)
    for name, seconds in took_s.items():
        yield report.Row(f"{label}build from the database, {name}", seconds, "s")


def _search(index: "SearchIndex", queries: "Vectors", number: int) -> object:
    return index.search(queries[number : number + 1], K)


def _fill(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Write the embeddings into the database, without pictures; returns their ids."""
    from gallery.models import Embedding

    for start in range(0, len(vectors), ROWS):
        Embedding.objects.bulk_create(
            Embedding(image_id=f"{start + row:064x}", model_id="bench", vector=vector.astype("<f2").tobytes())
            for row, vector in enumerate(vectors[start : start + ROWS])
        )
    return np.fromiter(Embedding.objects.order_by("id").values_list("id", flat=True), np.int64)


if __name__ == "__main__":
    main()
