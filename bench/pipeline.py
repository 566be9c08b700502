"""The bare pipeline: decode, embed and search in a loop; nothing is received, kept or answered.

`python -m bench.pipeline PICTURES INDEX SECONDS`: prints pictures a second and CPU milliseconds of each as JSON.
INDEX is an index generation of the product, or - for none.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from engine.index.annoy_index import Index
from engine.index.ranking import Vectors
from engine.networks import registry
from engine.networks.embedder import Embedder

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BATCH = 32


class Pipeline:
    """The default model with the product's own decoding, in so many torch threads."""

    def __init__(self, threads: int = 1, device: str = "auto") -> None:
        self._embedder = Embedder.load(registry.DEFAULT, device, threads=threads)
        self._embedder.warm_up()

    def embed(self, files: list[bytes]) -> Vectors:
        """Return float32 [n, 4096] of unit length for n picture files."""
        return self._embedder.embed_prepared([self._embedder.read(data) for data in files])


def main(pictures: str, directory: str, seconds: str) -> None:
    """Run for that long after a line on the standard input."""
    files = [path.read_bytes() for path in sorted(Path(pictures).iterdir())]
    pipeline, index = Pipeline(), None if directory == "-" else Index.open(Path(directory))
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu_s, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < float(seconds):
            batch = [files[(done + number) % len(files)] for number in range(BATCH)]
            vectors = pipeline.embed(batch)
            if index:
                index.search(vectors, 10)
            done += BATCH
        took_s, spent_s = time.perf_counter() - start, time.process_time() - cpu_s
        print(json.dumps({"per_s": done / took_s, "cpu_ms": spent_s / done * 1e3}), flush=True)


def start(block: ExitStack, pictures: Path, index: str, seconds: float) -> subprocess.Popen[str]:
    """Start a process that waits for `run`; it ends with `block`."""
    command = [sys.executable, "-m", "bench.pipeline", str(pictures), index, str(seconds)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | ONE_THREAD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    block.callback(process.kill)
    if process.stdout is None or process.stdout.readline() != "ready\n":
        raise SystemExit("The bare pipeline did not start.")
    return process


def run(running: list[subprocess.Popen[str]]) -> dict[str, float]:
    """Run all of them once: pictures a second of all together, CPU milliseconds of each picture."""
    for one in running:
        print("run", file=one.stdin, flush=True)
    replies = [json.loads(one.stdout.readline()) for one in running if one.stdout]
    return {"per_s": sum(one["per_s"] for one in replies), "cpu_ms": median(one["cpu_ms"] for one in replies)}


if __name__ == "__main__":
    main(*sys.argv[1:])
