"""Milvus' server against Annoy's files: `python -m bench.milvus [--photos DIR] [--count 100000]`.

The gallery and the queries are those of bench/index.py; embeddings lie in a database (SQLite), as candidates are ranked
by what is read from there. Both are searched in turns, one query at a time, in one thread.
"""

import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench import gallery, report
from bench.index import K, recall
from bench.report import Row, p50_ms, say
from bench.system import Site
from engine.index.protocol import SearchIndex
from engine.index.ranking import Vectors, scan
from tests import milvus  # the throw-away server of the tests


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Make a site, build both indexes, yield the rows of the table."""
    data = gallery.make(gallery.photographs(chosen.photos), chosen.count)
    with milvus.Server() as server:
        site = Site(directory / "data", SIMSEARCH_MILVUS_URI=server.uri)
        site.use()
        site.fill(data.gallery)
        yield from compared(data, f"{chosen.count:,} ")


def compared(data: gallery.Data, label: str) -> Iterator[Row]:
    """Build and search both."""
    from django.conf import settings

    from tasks import stores
    from tasks.indexing.build import build_generation

    took_s, indexes = {}, {}
    for name in ("annoy", "milvus"):
        settings.SIMSEARCH_INDEX = name
        started = time.perf_counter()
        generation = build_generation("bench", say)
        took_s[name] = time.perf_counter() - started
        indexes[name] = stores.chosen().open(generation)
    true = [hits.ids for hits in scan(data.gallery, np.arange(1, len(data.gallery) + 1), data.queries, K)]
    searches = {name: partial(_search, index, data.queries) for name, index in indexes.items()}
    times = p50_ms(searches, per_turn=60, queries=len(data.queries))
    for name, index in indexes.items():
        found = (index.search(query[None], K)[0].ids for query in data.queries)
        yield report.at_least(f"{label}recall@10, {name}", recall(found, true), "", 0.99)
    yield report.at_most(f"{label}one search, against Annoy", times["milvus"], "ms", 3, times["annoy"])
    for name, seconds in took_s.items():
        yield Row(f"{label}build from the database, {name}", seconds, "s")


def _search(index: SearchIndex, queries: Vectors, number: int) -> object:
    return index.search(queries[number : number + 1], K)


if __name__ == "__main__":
    report.run("milvus", __doc__, measure, count=100_000, one_thread=True)
