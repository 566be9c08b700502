"""Lay out the map: place similar pictures side by side (t-SNE over the PCA)."""

import os
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNE

from engine.index.pca import reduced
from gallery.models import Embedding, Image, MapPoint
from tasks.insight.surroundings import Advance
from tasks.search.delta import to_vectors
from tasks.search.neighbours import Neighbours

DIMENSIONS = 50  # of the PCA, as van der Maaten and Hinton 2008 use
PERPLEXITY = 30
ITERATIONS = (150, 350)  # with and without early exaggeration; more change little at 10,000 pictures
TELL_EVERY = 10  # iterations
ALONE = 3000  # fewer pictures are laid out by one core: threads would mostly wait for each other
EXACT = 20_000  # pictures up to which neighbours are compared exactly
FEWEST = 8  # fewer lie on a line
STEP = 2000  # embeddings read at once: 16 MB
SEED = 1
CORES = 2

Points = NDArray[np.float32]


def find(neighbours: Neighbours, advance: Advance) -> dict[UUID, tuple[float, float]]:
    """Return the place of each visible picture, 0 to 1 from the left and from the top."""
    neighbours.refresh()
    if neighbours.index is None:
        return {}
    images, short = _projected(neighbours, neighbours.index.components[:DIMENSIONS])
    if not images:
        return {}
    points = _spread(short, advance)
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()), 1e-9)  # of the square around them
    framed = (points - (low + high) / 2) / side + 0.5
    return dict(zip(images, [(x, y) for x, y in framed.tolist()], strict=True))


def keep(points: dict[UUID, tuple[float, float]]) -> dict[str, int]:
    """Replace the rows of the last analysis; returns the counts that the page shows. In a transaction."""
    MapPoint.objects.all().delete()
    there = set(Image.objects.values_list("pk", flat=True))  # some may have been deleted meanwhile
    rows = (MapPoint(image_id=image, x=x, y=y) for image, (x, y) in points.items() if image in there)
    MapPoint.objects.bulk_create(rows, batch_size=1000)
    return {"pictures": len(points)}


def _projected(neighbours: Neighbours, components: Points) -> tuple[list[UUID], Points]:
    """Return the visible pictures and their embeddings in few dimensions, [n, d]."""
    rows = Embedding.objects.filter(model_id=neighbours.model_id, image__is_hidden=False).order_by("id")
    ids = list(rows.values_list("id", flat=True))
    images, parts = list[UUID](), [np.empty((0, len(components)), np.float32)]
    for start in range(0, len(ids), STEP):
        found = list(rows.filter(id__in=ids[start : start + STEP]).values_list("image__id", "vector"))
        images += [image for image, _ in found]
        parts.append(reduced(to_vectors([vector for _, vector in found]), components))
    return images, np.concatenate(parts)


def _spread(short: Points, advance: Advance) -> Points:
    """Return a place [n, 2] for each of [n, d]."""
    if len(short) < FEWEST:
        return np.stack([np.arange(len(short)), np.zeros(len(short))], axis=1).astype(np.float32)
    done = 0

    def progress(iteration: int, error: float, embedding: Points) -> bool:
        nonlocal done
        done += TELL_EVERY  # not `iteration`: each of the two phases counts from one
        advance(done, sum(ITERATIONS))
        return False  # go on

    layout = TSNE(
        perplexity=min(PERPLEXITY, (len(short) - 1) / 3),
        early_exaggeration_iter=ITERATIONS[0],
        n_iter=ITERATIONS[1],
        neighbors="exact" if len(short) <= EXACT else "annoy",
        n_jobs=min(CORES, os.cpu_count() or 1) if len(short) >= ALONE else 1,
        random_state=SEED,
        callbacks=progress,
        callbacks_every_iters=TELL_EVERY,
    ).fit(short)
    return np.asarray(layout, np.float32)
