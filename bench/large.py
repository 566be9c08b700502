"""Annoy's index of a gallery that the memory does not hold twice: `python -m bench.large [--photos DIR] [--count N]`.

A million embeddings take 17 GB of disk in bench/out while it runs, and as much memory for quick searches. They are made
and written part by part. As in a search worker, a child of a process that has imported torch embeds a batch and
searches: its own memory is what it shares neither with its parent nor, as files that are mapped, with other children.
"""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bench import gallery, report
from bench.gallery import Photographs
from bench.index import K, recall
from bench.report import ONE_THREAD, Row, p50_ms, say
from engine.index.annoy_index import Index
from engine.index.build import Block, build
from engine.networks import registry
from engine.networks.embedder import Embedder

RECALL, BUILD_S, SEARCH_MS, WORKER_MB = 0.98, 600, 10, 300


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Yield the rows of the table."""
    count, label = chosen.count, f"{chosen.count:,} "
    real = gallery.photographs(chosen.photos)
    blocks = Blocks(real, count)
    np.save(directory / "queries.npy", gallery.make(real, gallery.PER_SUBJECT).queries)
    started = time.perf_counter()
    say(f"{label}building")
    manifest = build(directory / "1", np.arange(count), iter(blocks), "bench")
    build_s = time.perf_counter() - started - blocks.made_s
    yield report.at_most(f"{label}build from embeddings", build_s, "s", BUILD_S)
    say(f"{label}searching: search_k {manifest.parameters.search_k:,}, {manifest.parameters.candidates} candidates")
    command = [sys.executable, "-m", "bench.large", "--worker", str(directory)]
    worker = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)
    measured = json.loads(worker.stdout)
    yield report.at_least(f"{label}recall@10", measured["recall"], "", RECALL)
    yield report.at_most(f"{label}one search", measured["search"], "ms", SEARCH_MS)
    # Without what the disk or other programs keep it waiting.
    yield Row(f"{label}CPU of one search", measured["cpu_ms"], "ms")
    yield report.at_most(f"{label}a worker's memory beyond mapped files", measured["own_mb"], "MB", WORKER_MB)
    yield Row(f"{label}the same without an index", measured["without_mb"], "MB")


class Blocks:
    """The gallery in blocks for `build`; `made_s` is the time that it took to make them up."""

    def __init__(self, real: Photographs, count: int) -> None:
        self._parts, self.made_s = gallery.parts(real, count), 0.0

    def __iter__(self) -> Iterator[Block]:
        while True:
            started = time.perf_counter()
            part = next(self._parts, None)
            self.made_s += time.perf_counter() - started
            if part is None:
                return
            yield from gallery.blocks(part.gallery)


def work(directory: Path) -> dict[str, float]:
    """Embed and search as a search worker does; return the recall, the median time and its memory."""
    embedder = Embedder.load(registry.DEFAULT, "cpu")
    embedder.embed([Image.effect_noise((640, 480), 50).convert("RGB")] * embedder.batch)
    without_mb = own_mb()
    index, queries = Index.open(directory / "1"), np.load(directory / "queries.npy")
    found = [index.search(query[None], K)[0].ids for query in queries]
    times = p50_ms({"search": lambda n: index.search(queries[n : n + 1], K)}, len(queries), len(queries))
    began = time.process_time()
    for query in queries:
        index.search(query[None], K)
    cpu_ms = (time.process_time() - began) / len(queries) * 1e3
    searched_mb = own_mb()
    exact = [hits.ids for hits in index.exact(queries, K)]
    return {"recall": recall(found, exact), "cpu_ms": cpu_ms, "own_mb": searched_mb, "without_mb": without_mb, **times}


def own_mb() -> float:
    """Return the memory that this process has written to and shares with no other."""
    [kilobytes] = re.findall(r"^Private_Dirty:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        with multiprocessing.get_context("fork").Pool(1) as children:
            print(json.dumps(children.apply(work, [Path(sys.argv[2])])))
    else:
        report.run("large", __doc__, measure, count=500_000, folder=report.OUT)
