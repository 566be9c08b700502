"""Embeddings to measure with: crops of real photographs through the bundled network, and perturbed copies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.report import OUT
from engine.networks.embedder import Embedder
from engine.ranking import Vectors
from engine.reduction import unit

QUERIES = 500
WITHHELD = 0.2  # of the photographs: queries are crops of these, the gallery holds crops of the others
LOOKS = 8  # at each photograph: whole, then seven crops of 30 to 100 % of its area, half of them mirrored
BATCH = 64


@dataclass(frozen=True)
class Data:
    """gallery [n, 4096]; queries [500, 4096], of photographs of which the gallery holds nothing."""

    gallery: Vectors
    queries: Vectors


def real(photos: Path, count: int) -> Data:
    """Return `count` embeddings of crops of `photos`; they are computed once and kept in bench/out."""
    paths = sorted(photos.rglob("*.jpg"))
    embedder = Embedder.load("efficientnet_lite0", "cpu")
    cache = OUT / f"embeddings-{embedder.network}-{len(paths)}.npy"
    if not cache.exists():
        OUT.mkdir(exist_ok=True)
        np.save(cache, _embed(embedder, paths).astype(np.float16))
    looks = unit(np.load(cache).astype(np.float32)).reshape(len(paths), LOOKS, -1)
    random = np.random.default_rng(1)
    order = random.permutation(len(paths))
    withheld = round(WITHHELD * len(paths))
    queries, gallery = (looks[part].reshape(-1, looks.shape[2]) for part in (order[:withheld], order[withheld:]))
    if len(gallery) < count:
        raise SystemExit(f"{count} embeddings need at least {count // LOOKS * 5 // 4} photographs in {photos}.")
    return Data(random.permutation(gallery)[:count], random.permutation(queries)[:QUERIES])


def perturbed(gallery: Vectors, times: int) -> Vectors:
    """Return gallery and times - 1 copies of it, every number times exp(N(0, 1/4)): cosine 0.88 to the first.

    What is zero stays zero, as in what a network gives.
    """
    random, count = np.random.default_rng(2), len(gallery)
    grown = np.empty((count * times, gallery.shape[1]), np.float32)
    grown[:count] = gallery
    for start in range(count, len(grown), count):
        noise = np.exp(0.5 * random.standard_normal(gallery.shape, np.float32))
        grown[start : start + count] = unit(gallery * noise)
    return grown


def _embed(embedder: Embedder, paths: list[Path]) -> NDArray[np.float32]:
    looks = [look for path in paths for look in _looks(path)]
    return np.concatenate([embedder.embed(looks[start : start + BATCH]) for start in range(0, len(looks), BATCH)])


def _looks(path: Path) -> Iterator[Image.Image]:
    random = np.random.default_rng(int.from_bytes(path.name.encode()[-8:]))
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    yield picture
    side = min(picture.size)
    for _ in range(LOOKS - 1):
        edge = side * np.sqrt(random.uniform(0.3, 1))
        left, top = (random.uniform(0, length - edge) for length in picture.size)
        look = picture.crop((round(left), round(top), round(left + edge), round(top + edge)))
        yield ImageOps.mirror(look) if random.random() < 0.5 else look
