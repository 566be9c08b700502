"""Embeddings to measure with: those of real photographs, and made-up ones that are like them.

A gallery of 10,000 or 100,000 holds four fifths of the photographs; the rest are the queries. The other pictures are
made up of 88 to a subject, as many as the photographs have of a class:

- A subject is between two classes of the photographs: a blend of their means and the offset of one photograph from the
  mean of its class.
- A picture of it is the subject and an offset that is mostly made of offsets of photographs of the subject's class. Its
  length is 0.65 to 1.2 of the subject's, the same for one subject: some classes are wide, others narrow. Pictures
  come in series of six which have a fifth of the offset (0.45 of its length) in common.

That keeps what makes an index hard: the spectrum (128 components hold 0.80 to 0.83 of the energy; of the photographs
0.82) and how near the neighbours are. Medians of the cosines at 10,000, those of the photographs in brackets: the
nearest other picture 0.76 (0.73), the same subject 0.57 (0.55), other subjects 0.27 (0.25).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.report import OUT
from engine.images.fingerprints import BYTES
from engine.index.build import Block
from engine.index.pca import unit
from engine.index.ranking import Rows, Vectors
from engine.networks import registry
from engine.networks.embedder import Embedder

WITHHELD = 0.2  # of the photographs
PER_SUBJECT, PER_SERIES = 88, 6
FIRST_CLASS, OWN_OFFSET = 0.7, 0.5  # weights of a subject
WIDTH = (0.65, 1.2)
SERIES = 0.45  # length of what the pictures of a series have in common, in an offset of length 1
PARTS, OTHER_CLASSES = 3, 0.5  # photographs of its class in an offset; the weight of one of any class
COPY = 0.2  # length of a near-duplicate's offset: cosine 0.98 with the original, 0.96 with another near-duplicate
BATCH, BLOCK_ROWS = 32, 4096
PART = 50_000  # 0.8 GB


@dataclass(frozen=True)
class Photographs:
    """vectors [n, 4096], classes [n]: those of one class side by side."""

    vectors: Vectors
    classes: Rows


@dataclass(frozen=True)
class Data:
    """gallery [n, 4096]; queries [q, 4096] of photographs that it does not hold."""

    gallery: Vectors
    queries: Vectors


def photographs(folder: Path) -> Photographs:
    """Embed the photographs of `folder`, in a folder for each class, once: the embeddings are kept in bench/out."""
    paths = sorted(folder.rglob("*.jpg"))
    if not paths:
        raise SystemExit(f"There are no photographs in {folder}; name a folder with --photos.")
    embedder = Embedder.load(registry.DEFAULT, "cpu")
    kept = OUT / f"embeddings-{embedder.model_id}-{len(paths)}.npy"
    if not kept.exists():
        batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        np.save(kept, np.concatenate([embedder.embed([_read(path) for path in batch]) for batch in batches]))
    _, classes = np.unique([path.parent.name for path in paths], return_inverse=True)
    return Photographs(unit(np.load(kept)), classes.astype(np.intp))


def make(real: Photographs, count: int) -> Data:
    """Return a gallery of `count` and queries: always the same."""
    random = np.random.default_rng(1)
    kept, queries = _withhold(real, random)
    gallery = np.empty((count, real.vectors.shape[1]), np.float32)
    shown = min(count, len(kept.classes))
    gallery[:shown] = kept.vectors[random.permutation(len(kept.classes))[:shown]]
    _make_up(kept, gallery[shown:], random)
    return Data(gallery, queries)


def parts(real: Photographs, count: int) -> Iterator[Data]:
    """Yield a gallery that the memory does not hold, part after part: each has the same queries and other subjects."""
    yield (first := make(real, min(count, PART)))
    kept, _ = _withhold(real, np.random.default_rng(1))
    for start in range(PART, count, PART):
        made = np.empty((min(PART, count - start), real.vectors.shape[1]), np.float32)
        _make_up(kept, made, np.random.default_rng([1, start]))
        yield Data(made, first.queries)


def _withhold(real: Photographs, random: np.random.Generator) -> tuple[Photographs, Vectors]:
    """Return the photographs that the gallery shows, and the vectors of those that are the queries."""
    withheld = np.zeros(len(real.classes), bool)
    withheld[random.permutation(len(withheld))[: round(WITHHELD * len(withheld))]] = True
    return Photographs(real.vectors[~withheld], real.classes[~withheld]), real.vectors[withheld]


def blocks(vectors: Vectors) -> Iterator[Block]:
    """Yield the vectors as the build of an index reads them, without fingerprints."""
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        yield block, np.zeros((len(block), BYTES), np.uint8)


def near_duplicates(original: Vectors, gallery: Vectors, count: int) -> Vectors:
    """Return `count` near-duplicates [count, 4096] of one vector; their offsets are differences within `gallery`."""
    random = np.random.default_rng(3)
    one, other = random.integers(0, len(gallery), (2, count))
    return unit(original + np.float32(COPY) * unit(gallery[one] - gallery[other]))


def _make_up(real: Photographs, made: Vectors, random: np.random.Generator) -> None:
    """Fill made [m, 4096]."""
    means = np.array([real.vectors[real.classes == one].mean(axis=0) for one in range(real.classes.max() + 1)])
    offsets = real.vectors - means[real.classes]
    starts, sizes = np.unique(real.classes, return_index=True, return_counts=True)[1:]

    def draw(classes: Rows) -> Vectors:
        """Return an offset of length 1 for each of classes [m]."""
        drawn = np.zeros((len(classes), means.shape[1]), np.float32)
        for _ in range(PARTS):
            rows = starts[classes] + (random.random(len(classes)) * sizes[classes]).astype(np.intp)
            drawn += random.standard_normal((len(classes), 1), np.float32) * offsets[rows]
        any_class = offsets[random.integers(0, len(offsets), len(classes))]
        sign = random.choice(np.array([-1, 1], np.float32), (len(classes), 1))
        return unit(unit(drawn) + np.float32(OTHER_CLASSES) * sign * unit(any_class))

    subjects = max(1, len(made) // PER_SUBJECT)
    first, second = random.integers(0, len(offsets), (2, subjects))
    classes = real.classes[first]
    blend = FIRST_CLASS * means[classes] + (1 - FIRST_CLASS) * means[real.classes[second]]
    centres = unit(blend + OWN_OFFSET * offsets[first])
    widths = random.uniform(*WIDTH, (subjects, 1)).astype(np.float32)
    series = draw(np.repeat(classes, PER_SUBJECT // PER_SERIES))
    for start in range(0, len(made), BLOCK_ROWS):
        of = random.integers(0, subjects, len(made[start : start + BLOCK_ROWS]))
        shared = series[of * (PER_SUBJECT // PER_SERIES) + random.integers(0, PER_SUBJECT // PER_SERIES, len(of))]
        offset = np.float32(SERIES) * shared + np.float32(np.sqrt(1 - SERIES**2)) * draw(classes[of])
        made[start : start + BLOCK_ROWS] = unit(centres[of] + widths[of] * offset)


def _read(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")
