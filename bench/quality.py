"""How good the matches are, on labelled photographs: `python -m bench.quality [--photos DIR] [--quick]`.

A real import, a real index, and the search that a worker runs. Sub-folders of the photographs are their labels.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import django
import torch
from torch import Tensor

from bench import report
from bench.building import Site
from bench.report import Row, say
from bench.system import ROOT
from engine.networks import loading, registry
from engine.networks.embedder import DTYPES, Embedder

BATCH = 32
TURNS, QUICK_TURNS = 30, 8
SPEED_GOAL, LINES_GOAL = 0.95, 1900


def main() -> None:
    """Measure, print the table, write bench/out/quality.json."""
    chosen = report.options(__doc__)
    if not any(chosen.photos.rglob("*.jpg")):
        print(f"bench.quality: skipped, there are no photographs in {chosen.photos}.")
        return
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        site = indexed(Path(directory), chosen.photos)
        os.environ.update(site.environment | {"DJANGO_SETTINGS_MODULE": "simsearch.settings"})
        django.setup()
        from bench import matches  # reads the settings

        say("measuring matches and near-duplicates")
        rows = list(matches.figures(chosen.quick))
    say("measuring the speed of embedding")
    rows += [*speed(QUICK_TURNS if chosen.quick else TURNS), lines()]
    report.publish("quality", rows)


def indexed(directory: Path, photos: Path) -> Site:
    """Import the photographs into a data directory of their own and build the index."""
    site = Site(directory / "data")
    say("importing the photographs")
    site.manage("import_images", str(photos))
    say("building the index")
    site.manage("build_index")
    return site


def speed(turns: int) -> Iterator[Row]:
    """Yield pictures a second of the embedder and of the bare network: medians of batches that take turns.

    The embedder stacks the prepared pictures, normalises them, and scales the embeddings to unit length; the bare
    network gets a batch that is ready.
    """
    embedder = Embedder.load(registry.DEFAULT, threads=1)
    side = registry.get(embedder.name).input_px
    prepared = list(torch.randint(0, 256, (BATCH, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2))
    bare = bare_network(embedder, torch.rand(BATCH, 3, side, side))
    took: dict[str, list[float]] = {"embedder": [], "bare": []}
    ways: dict[str, Callable[[], object]] = {"embedder": lambda: embedder.embed_prepared(prepared), "bare": bare}
    for turn in range(turns + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if turn:  # the first one warms up
                took[name].append(time.perf_counter() - began)
    ours, rival = (BATCH / median(took[name]) for name in ("embedder", "bare"))
    name = f"embedding on {embedder.device} ({embedder.precision}), against the bare network"
    yield report.at_least_ratio(name, ours, rival, SPEED_GOAL)


def bare_network(embedder: Embedder, batch: Tensor) -> Callable[[], Tensor]:
    """Return a forward pass of the same network on the same device, for one batch [n, 3, h, w] that lies there."""
    network = loading.load(registry.get(embedder.name))
    dtype = DTYPES[embedder.precision]
    features = network.features.to(embedder.device, dtype).to(memory_format=torch.channels_last)
    pooling = network.pooling.to(embedder.device)
    ready = batch.to(embedder.device, dtype).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> Tensor:
        embedding: Tensor = pooling(features(ready).float()).cpu()
        return embedding

    return forward


def lines() -> Row:
    """Count the lines of the engine."""
    count = sum(len(path.read_bytes().splitlines()) for path in (ROOT / "engine").rglob("*.py"))
    return report.at_most("engine/", count, "lines", LINES_GOAL)


if __name__ == "__main__":
    main()
