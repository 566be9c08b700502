"""Precision of the search, and what collapses as near-duplicates, in the gallery that Django's settings name.

For `bench.quality`, which sets Django up first.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from bench import report
from bench.report import Row
from engine.index.annoy_index import Index
from gallery.index import generations
from gallery.models import Embedding
from tasks import active_model
from tasks.measuring.calibration import ALTERED, PAIRED, IndexedPictures, altered_copies
from tasks.measuring.thresholds import thresholds
from tasks.search.delta import to_vectors
from tasks.search.neighbours import Neighbours, SearchRequest

NEAR_DUPLICATES = Path(__file__).parent / "near_duplicates.txt"
K = 10
BATCH = 32
QUICK_ALTERED = 60
PRECISION_GOAL, ALTERED_GOAL, FALSE_GOAL = 0.97, 0.95, 0.02
LACKING_GOAL, HAVING_GOAL = 0.7, 0.01

Pair = tuple[str, ...]  # two pictures as label/title, sorted


def figures(quick: bool) -> Iterator[Row]:
    """Yield every row about the active index; prints the near-duplicates."""
    active = generations.active()
    assert active, "the benchmark has built an index"
    yield precision(active.model_id)
    gallery = IndexedPictures(Index.open(active.directory), active.model_id)
    chosen = thresholds(active.model_id)
    yield from weak(gallery, chosen.similar)
    sample = gallery.sample(QUICK_ALTERED if quick else ALTERED)
    cosines, alike = altered_copies(gallery, active_model.load(active.model_id), sample, lambda _: None)
    share = float(np.mean((cosines >= chosen.duplicate) & alike))
    yield report.at_least("altered copies that are near-duplicates", share, "of all", ALTERED_GOAL)
    yield false_copies(gallery, active.model_id, chosen.duplicate)


def precision(model_id: str) -> Row:
    """Search for every picture among the others, as a worker does."""
    neighbours = Neighbours(model_id)
    neighbours.refresh()
    rows = list(Embedding.objects.filter(model_id=model_id).values_list("image__id", "image__label", "vector"))
    labels = {image: label for image, label, _ in rows}
    shares = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        wanted = [SearchRequest(K, without=frozenset([image])) for image, _, _ in batch]
        found = neighbours.search(to_vectors([vector for _, _, vector in batch]), wanted)
        for (_, label, _), matches in zip(batch, found, strict=True):
            shares.append(np.mean([labels[match.image] == label for match in matches]))
    return report.at_least(f"precision@{K}, {len(rows):,} pictures", float(np.mean(shares)), "", PRECISION_GOAL)


def weak(gallery: IndexedPictures, similar: float) -> Iterator[Row]:
    """Yield how often even the best match is weak: of pictures without their label in the gallery, and with it."""
    rows, labels = gallery.labelled(PAIRED)
    vectors = gallery.index.vectors_at(rows)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    has_label = labels[:, None] == labels
    lacking, having = (
        float(np.mean(np.where(kept, cosines, -1).max(axis=1) < similar)) for kept in (~has_label, has_label)
    )
    yield report.at_least("the gallery lacks their label: best match weak", lacking, "of all", LACKING_GOAL)
    yield report.at_most("it has their label: best match weak", having, "of all", HAVING_GOAL)


def false_copies(gallery: IndexedPictures, model_id: str, duplicate: float) -> Row:
    """Count the pictures that have a near-duplicate which is no true copy; prints all near-duplicates."""
    rows = Embedding.objects.filter(model_id=model_id).values_list("id", "image__label", "image__title")
    names = {id_: f"{label}/{title}" for id_, label, title in rows}
    pairs: dict[Pair, float] = {}
    for row in gallery.rows.tolist():
        own = names[int(gallery.index.ids[row])]
        for other, cosine, agrees in gallery.nearest(row):
            if agrees and cosine >= duplicate:
                pairs[tuple(sorted((own, names[int(gallery.index.ids[other])])))] = cosine
    known = near_duplicates()
    for (first, second), cosine in sorted(pairs.items(), key=lambda item: -item[1]):
        print(f"{cosine:.3f}  {known.get((first, second), 'FALSE'):5}  {first:28} {second}")
    false = {name for pair in pairs if known.get(pair) != "copy" for name in pair}
    return report.at_most("pictures with a false copy", len(false) / len(gallery.rows), "of all", FALSE_GOAL)


def near_duplicates() -> dict[Pair, str]:
    """Read which pairs a person found to be copies or takes of one scene."""
    kinds: dict[Pair, str] = {}
    for line in NEAR_DUPLICATES.read_text().splitlines():
        if not line.startswith("#"):
            kind, label, *numbers = line.split()
            names = sorted(f"{label}/image_{int(number):04}" for number in numbers)
            # Copies come first: a group of takes may hold a copy and its original.
            kinds = dict.fromkeys(combinations(names, 2), kind) | kinds
    return kinds
