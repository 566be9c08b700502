"""How good the matches are, on labelled photographs: `python -m bench.quality [--photos DIR] [--quick]`.

A real import, a real index, and the search that a worker runs. Sub-folders of the photographs are their labels.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from bench import report
from bench.report import ROOT, Row, p50_ms, say
from bench.system import Site
from engine.networks import loading, registry
from engine.networks.embedder import DTYPES, Embedder

BATCH = 32
TURNS, QUICK_TURNS = 30, 8
SPEED_GOAL, LINES_GOAL = 0.95, 1900


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Yield the rows of the table."""
    if not any(chosen.photos.rglob("*.jpg")):
        raise SystemExit(f"There are no photographs in {chosen.photos}; name a folder with --photos.")
    site = Site(directory / "data")
    say("importing the photographs")
    site.manage("import_images", str(chosen.photos))
    say("building the index")
    site.manage("build_index")
    site.use()
    from bench import matches  # reads the settings

    say("measuring matches and near-duplicates")
    yield from matches.figures(chosen.quick)
    say("measuring the speed of embedding")
    yield speed(QUICK_TURNS if chosen.quick else TURNS)
    count = sum(len(path.read_bytes().splitlines()) for path in (ROOT / "engine").rglob("*.py"))
    yield report.at_most("engine/", count, "lines", LINES_GOAL)


def speed(turns: int) -> Row:
    """Return pictures a second of the embedder and of the bare network: medians of batches that take turns.

    The embedder stacks the prepared pictures, normalises them, and scales the embeddings to unit length; the bare
    network gets a batch that is ready.
    """
    embedder = Embedder.load(registry.DEFAULT, threads=1)
    side = registry.get(embedder.name).input_px
    prepared = list(torch.randint(0, 256, (BATCH, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2))
    bare = bare_network(embedder, torch.rand(BATCH, 3, side, side))
    ways = {"embedder": lambda _: embedder.embed_prepared(prepared), "bare": lambda _: bare()}
    ours, rival = (BATCH / ms * 1e3 for ms in p50_ms(ways, per_turn=1, queries=1, turns=turns).values())
    name = f"embedding on {embedder.device} ({embedder.precision}), against the bare network"
    return report.at_least(name, ours, "/s", SPEED_GOAL, rival)


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


if __name__ == "__main__":
    report.run("quality", __doc__, measure)
