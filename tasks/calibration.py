"""What the active network's cosines mean in this gallery, and the thresholds that follow from that."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine import images
from engine.errors import BadImage
from engine.index import Index
from engine.networks.embedder import Embedder
from engine.networks.registry import Thresholds
from gallery.models import Embedding, Image
from tasks.alterations import ALTERATIONS

ALTERED = 300  # pictures: with seven alterations 2,100 embeddings, half a minute on two cores
COMPARED = 1000  # pictures whose nearest other picture is looked for
PAIRED = 2000  # labelled pictures that are compared with each other: 2 million pairs
FEWEST_PICTURES = 20
FEWEST_PAIRS = 20
NEAREST = 32  # hidden pictures and copies among the nearest are passed over
SEED = 1
# Two files of one photograph: the correlation of their grey thumbnails of 16 x 16 pixels. On 1,773 photographs every
# pair above 0.98 whose cosine is 0.85 or more shows the same picture; JPEG quality 30, half size and mirroring stay
# above 0.99.
COPY_PX, COPY_CORRELATION = 16, 0.98

Cosines = NDArray[np.float32]
Rows = NDArray[np.intp]
Advance = Callable[[int], None]


class TooFewPictures(Exception):
    """The gallery is too small to measure anything; the text says what to do."""


@dataclass(frozen=True)
class Measured:
    """The cosines of four kinds of pairs.

    `altered` [n, 7]: a picture and itself altered, by the order of ALTERATIONS; `one_label` and `other_label`: two
    pictures of one label, of different labels (empty without labels); `nearest`: a picture and the nearest other one
    that is no copy of it.
    """

    altered: Cosines
    one_label: Cosines
    other_label: Cosines
    nearest: Cosines


@dataclass(frozen=True)
class Derived:
    """Thresholds, and the names of those that could not be measured and are the network's own."""

    thresholds: Thresholds
    kept: list[str]


class Gallery:
    """The visible pictures of an index: `rows` of the index, and the label of each ("" for none).

    Raises TooFewPictures.
    """

    def __init__(self, index: Index, network: str) -> None:
        rows = Embedding.objects.filter(network=network, image__is_hidden=False)
        visible = dict(rows.values_list("id", "image__label"))
        places = [row for row, id_ in enumerate(index.ids.tolist()) if id_ in visible]
        if len(places) < FEWEST_PICTURES:
            raise TooFewPictures(
                f"The index has {len(places)} visible pictures; {FEWEST_PICTURES} are the fewest that tell anything. "
                "Add some with manage.py import_images DIR."
            )
        self.index = index
        self.rows: Rows = np.array(places, np.intp)
        self.labels = [visible[id_] for id_ in index.ids[self.rows].tolist()]
        self._ids = set(index.ids[self.rows].tolist())

    def sample(self, size: int) -> Rows:
        """Return up to `size` rows of the index, the same ones each time."""
        return _sample(self.rows, size)

    def labelled(self, size: int) -> tuple[Rows, NDArray[np.object_]]:
        """Return up to `size` rows of labelled pictures, and their labels."""
        places = _sample(np.flatnonzero(np.array(self.labels, object) != ""), size)
        return self.rows[places], np.array([self.labels[place] for place in places], object)

    def picture(self, row: int) -> Image | None:
        """Return the picture in that row; None when it was deleted meanwhile."""
        return Image.objects.filter(embeddings__id=int(self.index.ids[row])).first()

    def nearest(self, row: int) -> Iterator[tuple[int, float]]:
        """Yield row and cosine of the nearest other visible pictures, best first."""
        [hits] = self.index.exact(self.index.vectors_at(np.array([row])), NEAREST)
        for id_, cosine in zip(hits.ids.tolist(), hits.similarities.tolist(), strict=True):
            other = int(np.searchsorted(self.index.ids, id_))
            if other != row and id_ in self._ids:
                yield other, cosine


def steps(gallery: Gallery) -> int:
    """Return how far `advance` counts."""
    return min(len(gallery.rows), ALTERED) + min(len(gallery.rows), COMPARED)


def measure(gallery: Gallery, embedder: Embedder, advance: Advance) -> Measured:
    """Measure the four distributions on fixed samples of the gallery. Raises TooFewPictures (files are missing)."""
    altered = altered_cosines(gallery, embedder, gallery.sample(ALTERED), advance)
    if not len(altered):
        raise TooFewPictures("None of the gallery's pictures can be read; see manage.py prune.")
    return Measured(altered, *_label_cosines(gallery), _nearest_cosines(gallery, advance))


def altered_cosines(gallery: Gallery, embedder: Embedder, rows: Rows, advance: Advance) -> Cosines:
    """Return [n, 7]: of each picture that can be read, the cosine to itself after each of ALTERATIONS."""
    found = []
    for row in rows.tolist():
        picture = _read(gallery.picture(row))
        if picture is not None:
            altered = embedder.embed([alter(picture) for alter in ALTERATIONS.values()])
            found.append(altered @ gallery.index.vectors_at(np.array([row]))[0])
        advance(1)
    return np.array(found, np.float32).reshape(-1, len(ALTERATIONS))


def derive(measured: Measured, own: Thresholds) -> Derived:
    """Return the thresholds that follow from the distributions; `own` are those the network comes with.

    similar: 1 % of the pairs of different labels reach it. very_similar: a third of the pairs of one label reach it.
    same: 95 % of the altered copies reach it, and at most 5 % of the pictures have a nearest other one that does.
    duplicate: the same with 2 % instead of 5 %. Where these cross, the higher band gives way upwards.
    """
    kept = []
    similar, very_similar = own.similar, own.very_similar
    if len(measured.other_label) >= FEWEST_PAIRS:
        similar = _reached_by(measured.other_label, 0.01)
    else:
        kept.append("similar")
    if len(measured.one_label) >= FEWEST_PAIRS:
        very_similar = _reached_by(measured.one_label, 1 / 3)
    else:
        kept.append("very_similar")
    very_similar = max(similar, very_similar)
    same = max(very_similar, _reached_by(measured.altered, 0.95), _reached_by_at_most(measured.nearest, 0.05))
    duplicate = max(same, _reached_by_at_most(measured.nearest, 0.02))
    return Derived(Thresholds(same, very_similar, similar, duplicate), kept)


def share_from(cosines: Cosines, threshold: float) -> float:
    """Return the share of cosines at or above the threshold."""
    return float(np.mean(cosines >= threshold)) if cosines.size else 0.0


def is_copy(first: Image, second: Image) -> bool:
    """Tell by their thumbnails whether two pictures are one, also mirrored; False where one is missing."""
    try:
        one, other = _signature(first), _signature(second)
    except OSError:
        return False
    return bool(max(np.sum(one * other), np.sum(one * other[:, ::-1])) >= COPY_CORRELATION)


def _reached_by(cosines: Cosines, share: float) -> float:
    """Return the highest threshold of three digits that at least this share of the cosines reaches."""
    lowest = np.percentile(np.clip(cosines, -1, 1), 100 * (1 - share), method="lower")
    return float(np.floor(lowest * 1000) / 1000)


def _reached_by_at_most(cosines: Cosines, share: float) -> float:
    """Return the lowest threshold of three digits (at most 1) that no more than this share reaches; -1 for none."""
    if not len(cosines):
        return -1.0
    highest = np.sort(np.clip(cosines, -1, 1))[::-1][int(share * len(cosines))]
    return min(1.0, round(float(np.floor(highest * 1000) / 1000) + 0.001, 3))


def _sample(rows: Rows, size: int) -> Rows:
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:size])


def _read(image: Image | None) -> Pillow.Image | None:
    try:
        return images.decode(image.picture_path.read_bytes()) if image else None
    except (OSError, BadImage):
        return None


def _label_cosines(gallery: Gallery) -> tuple[Cosines, Cosines]:
    """Return the cosines of all pairs of a sample of labelled pictures: of one label, of different labels."""
    rows, labels = gallery.labelled(PAIRED)
    vectors = gallery.index.vectors_at(rows)
    first, second = np.triu_indices(len(rows), 1)
    cosines = (vectors @ vectors.T)[first, second]
    alike = (labels[first] == labels[second]).astype(bool)
    return cosines[alike], cosines[~alike]


def _nearest_cosines(gallery: Gallery, advance: Advance) -> Cosines:
    found = []
    for row in gallery.sample(COMPARED).tolist():
        image = gallery.picture(row)
        others = ((gallery.picture(other), cosine) for other, cosine in gallery.nearest(row))
        cosine = next((cosine for other, cosine in others if image and other and not is_copy(image, other)), None)
        if cosine is not None:
            found.append(cosine)
        advance(1)
    return np.array(found, np.float32)


def _signature(image: Image) -> NDArray[np.float64]:
    """Return [16, 16] grey values with mean 0 and length 1. Raises OSError."""
    with Pillow.open(image.thumbnail_path) as thumbnail:
        grey = thumbnail.convert("L").resize((COPY_PX, COPY_PX), Pillow.Resampling.BOX)
    values = np.asarray(grey, np.float64)
    centred: NDArray[np.float64] = values - values.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)
