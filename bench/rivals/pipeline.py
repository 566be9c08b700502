"""The limit: decode and embed in batches, nothing else. `python -m bench.rivals.pipeline NETWORK WEIGHTS PICTURES`.

One of these per core: while one decodes, another one embeds. PICTURES is a folder. Each line on the standard input is
an order, `batches SECONDS` or `one COUNT`; the reply is a line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from bench.rivals.plain import Plain

BATCH = 32


def main(network: str, weights: str, pictures: str) -> None:
    """Obey until the input ends."""
    plain = Plain(network, weights)
    files = [path.read_bytes() for path in sorted(Path(pictures).iterdir())]
    say({"precision": plain.embedder.precision})
    for line in sys.stdin:
        order, number = line.split()
        say(batches(plain, files, float(number)) if order == "batches" else one(plain, files, int(number)))


def batches(plain: Plain, files: list[bytes], seconds: float) -> dict[str, float]:
    """Decode and embed for that long; pictures a second, and CPU seconds of each."""
    start, cpu_s, done = time.perf_counter(), time.process_time(), 0
    while (taken := time.perf_counter() - start) < seconds:
        batch = [files[(done + number) % len(files)] for number in range(BATCH)]
        plain.embedder.embed_prepared([plain.decode(data) for data in batch])
        done += BATCH
    taken = time.perf_counter() - start
    return {"per_s": done / taken, "cpu_s_each": (time.process_time() - cpu_s) / done}


def one(plain: Plain, files: list[bytes], count: int) -> dict[str, float]:
    """Decode and embed `count` pictures one by one; the median time."""
    times = []
    for number in range(count):
        start = time.perf_counter()
        plain.embedder.embed_prepared([plain.decode(files[number % len(files)])])
        times.append(time.perf_counter() - start)
    return {"p50_ms": float(np.median(times)) * 1e3}


def say(reply: dict[str, float] | dict[str, str]) -> None:
    """Answer whoever started us."""
    print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
