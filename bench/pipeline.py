"""The bare pipeline: decode, embed and search in a loop; nothing is received, kept or answered."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median

from bench import photos
from bench.report import ONE_THREAD
from engine.index.annoy_index import Index
from engine.index.ranking import Vectors
from engine.networks import registry
from engine.networks.embedder import Embedder

BATCH = 32


class Pipeline:
    """The default model with the product's own decoding, in one thread."""

    def __init__(self) -> None:
        self._embedder = Embedder.load(registry.DEFAULT, threads=1)
        self._embedder.warm_up()

    def embed(self, files: list[bytes]) -> Vectors:
        """Return float32 [n, 4096] of unit length for n picture files."""
        return self._embedder.embed_prepared([self._embedder.read(data) for data in files])


class Pipelines:
    """A process per core that waits for `run`, until `block` ends; `index`: a generation of the product, or None."""

    def __init__(self, block: ExitStack, pictures: Path, index: Path | None = None) -> None:
        os.environ |= ONE_THREAD  # for these processes, and what is started later
        self._on = pictures, index
        spawn = multiprocessing.get_context("spawn")
        self._of_core = [
            block.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(os.cpu_count() or 1)
        ]
        self.run(0.0)  # loads

    def run(self, seconds: float) -> tuple[float, float]:
        """Run all of them that long: pictures a second of all together, CPU milliseconds of each picture."""
        running = [one.submit(_loop, seconds, *self._on) for one in self._of_core]
        per_s, cpu_ms = zip(*[one.result() for one in running], strict=True)
        return sum(per_s), median(cpu_ms)


@cache
def _loaded(pictures: Path, index: Path | None) -> tuple[list[bytes], Pipeline, Index | None]:
    return photos.read(pictures), Pipeline(), Index.open(index) if index else None


def _loop(seconds: float, pictures: Path, directory: Path | None) -> tuple[float, float]:
    files, pipeline, index = _loaded(pictures, directory)
    began, cpu_s, done = time.perf_counter(), time.process_time(), 0
    while not done or time.perf_counter() - began < seconds:
        vectors = pipeline.embed([files[(done + number) % len(files)] for number in range(BATCH)])
        if index:
            index.search(vectors, 10)
        done += BATCH
    return done / (time.perf_counter() - began), (time.process_time() - cpu_s) / done * 1e3
