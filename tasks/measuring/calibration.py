"""Measure the active model's cosines in this gallery, and derive thresholds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine.decoders.pool import DECODERS
from engine.errors import BadImage
from engine.images.fingerprints import agree, fingerprint, stacked
from engine.index.protocol import SearchIndex
from engine.networks.embedder import Embedder
from engine.networks.embedder import picture as as_picture
from engine.networks.registry import Thresholds
from gallery.curation import pictures
from gallery.models import Embedding, Image
from gallery.storage import files
from tasks.measuring.alterations import ALTERATIONS
from tasks.measuring.evaluation import sample
from tasks.search.delta import to_fingerprints

ALTERED = 300  # pictures: with seven alterations 2,100 embeddings, half a minute on two cores
COMPARED = 1000  # pictures whose nearest other picture is looked for
PAIRED = 2000  # labelled pictures that are compared with each other: 2 million pairs
FEWEST_PICTURES = 20
FEWEST_PAIRS = 20
UNLIKE = 0.001  # share of the pairs of different labels that count as similar: a search finds the best of thousands
NEAREST = 32  # of each picture: hidden ones and copies among them are left out

Cosines = NDArray[np.float32]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
Advance = Callable[[int], None]


class TooFewPictures(Exception):
    """The gallery is too small to measure anything; the text says what to do."""


@dataclass(frozen=True)
class Measured:
    """The cosines of five kinds of pairs.

    `altered` [n, 7]: a picture and itself altered, by the order of ALTERATIONS, and whether the fingerprints `agree`;
    `one_label` and `other_label`: two pictures of one label, of different labels (empty without labels); `nearest`: a
    picture and the nearest other one whose fingerprint does not agree with its own; `copy` [m]: each of the same
    pictures and the nearest other one whose fingerprint does (-1 for none).
    """

    altered: Cosines
    agree: Flags
    one_label: Cosines
    other_label: Cosines
    nearest: Cosines
    copy: Cosines

    def recognised(self, duplicate: float) -> float:
        """Return the share of altered copies that are near-duplicates by this threshold."""
        return float(np.mean((self.altered >= duplicate) & self.agree))

    def duplicated(self, duplicate: float) -> float:
        """Return the share of pictures that have a near-duplicate in the gallery by this threshold."""
        return float(np.mean(self.copy >= duplicate)) if self.copy.size else 0.0


@dataclass(frozen=True)
class Derived:
    """Thresholds, and the names of those that could not be measured and are the model's defaults."""

    thresholds: Thresholds
    kept: list[str]


class IndexedPictures:
    """The visible pictures of an index: `rows` of the index, and the label of each ("" for none).

    Raises TooFewPictures.
    """

    def __init__(self, index: SearchIndex, model_id: str) -> None:
        rows = Embedding.objects.filter(model_id=model_id, image__is_hidden=False)
        visible = dict(rows.values_list("id", "image__label"))
        places = [row for row, id_ in enumerate(index.ids.tolist()) if id_ in visible]
        if len(places) < FEWEST_PICTURES:
            raise TooFewPictures(
                f"The index has {len(places)} visible pictures; at least {FEWEST_PICTURES} are needed. "
                "Add some with manage.py import_images DIR."
            )
        self.index = index
        self.rows: Rows = np.array(places, np.intp)
        self.labels = [visible[id_] for id_ in index.ids[self.rows].tolist()]
        self._ids = set(index.ids[self.rows].tolist())

    def sample(self, size: int) -> Rows:
        """Return up to `size` rows of the index, the same ones each time."""
        return sample(self.rows, size)

    def labelled(self, size: int) -> tuple[Rows, NDArray[np.object_]]:
        """Return up to `size` rows of labelled pictures, and their labels."""
        places = sample(np.flatnonzero(np.array(self.labels, object) != ""), size)
        return self.rows[places], np.array([self.labels[place] for place in places], object)

    def picture(self, row: int) -> Pillow.Image | None:
        """Return the picture in that row; None when it has been deleted or cannot be read. Raises StorageAway."""
        image = Image.objects.filter(embeddings__id=int(self.index.ids[row])).first()
        if image is None:
            return None
        try:
            decoded = DECODERS.decode(image.shown_file.source(), pictures.request(within_px=None, whole=True))
        except files.StorageAway:
            raise
        except (OSError, BadImage):
            return None
        return Pillow.frombytes("RGB", (decoded.width_px, decoded.height_px), decoded.pixels)

    def nearest(self, row: int) -> list[tuple[int, float, bool]]:
        """Return up to NEAREST other visible pictures, best first: row, cosine, whether the fingerprints agree."""
        [hits] = self.index.exact(self.index.vectors_at(np.array([row])), NEAREST)
        own = int(self.index.ids[row])
        ids = [id_ for id_ in hits.ids.tolist() if id_ in self._ids]
        marks = dict(Embedding.objects.filter(id__in=[*ids, own]).values_list("id", "fingerprint"))
        fingerprints = to_fingerprints([marks.get(id_) for id_ in (own, *ids)])
        alike = agree(fingerprints[:1], fingerprints[1:])[0]
        cosines = dict(zip(hits.ids.tolist(), hits.similarities.tolist(), strict=True))
        rows = np.searchsorted(self.index.ids, ids).tolist()
        found = zip(rows, (cosines[id_] for id_ in ids), alike.tolist(), strict=True)
        return [(other, cosine, agrees) for other, cosine, agrees in found if other != row]


def steps(gallery: IndexedPictures) -> int:
    """Return how far `advance` counts."""
    return min(len(gallery.rows), ALTERED) + min(len(gallery.rows), COMPARED)


def measure(gallery: IndexedPictures, embedder: Embedder, advance: Advance) -> Measured:
    """Measure fixed samples of the gallery. Raises TooFewPictures where no file can be read."""
    altered, alike = altered_copies(gallery, embedder, gallery.sample(ALTERED), advance)
    if not len(altered):
        raise TooFewPictures("None of the gallery's pictures can be read; see manage.py prune.")
    one_label, other_label = _label_cosines(gallery)
    nearest, copy = _nearest_cosines(gallery, advance)
    return Measured(altered, alike, one_label, other_label, nearest, copy)


def altered_copies(gallery: IndexedPictures, embedder: Embedder, rows: Rows, advance: Advance) -> tuple[Cosines, Flags]:
    """Compare each picture that can be read with itself after each of ALTERATIONS.

    Returns the cosines [n, 7] and whether the fingerprints agree [n, 7].
    """
    cosines, alike = [], []
    for row in rows.tolist():
        picture = gallery.picture(row)
        if picture is not None:
            seen = [embedder.prepare(one) for one in (picture, *(alter(picture) for alter in ALTERATIONS.values()))]
            fingerprints = stacked([fingerprint(as_picture(prepared)) for prepared in seen])
            cosines.append(embedder.embed_prepared(seen[1:]) @ gallery.index.vectors_at(np.array([row]))[0])
            alike.append(agree(fingerprints[:1], fingerprints[1:])[0])
        advance(1)
    shape = (-1, len(ALTERATIONS))
    return np.array(cosines, np.float32).reshape(shape), np.array(alike, np.bool_).reshape(shape)


def derive(measured: Measured, own: Thresholds) -> Derived:
    """Return the thresholds that follow from the distributions; `own` are those the model comes with.

    similar: UNLIKE of the pairs of different labels reach it. very_similar: a third of the pairs of one label reach it.
    same: 95 % of the altered copies reach it, and of at most 5 % of the pictures the nearest other one does that is no
    copy. duplicate: 99 % of the altered copies reach it; the fingerprints keep out what is no copy. Where thresholds
    would cross, the one of the more similar pictures is raised.
    """
    kept = []
    similar, very_similar = own.similar, own.very_similar
    if len(measured.other_label) >= 1 / UNLIKE:
        similar = _reached_by(measured.other_label, UNLIKE)
    else:
        kept.append("similar")
    if len(measured.one_label) >= FEWEST_PAIRS:
        very_similar = _reached_by(measured.one_label, 1 / 3)
    else:
        kept.append("very_similar")
    very_similar = max(similar, very_similar)
    same = max(very_similar, _reached_by(measured.altered, 0.95), _reached_by_at_most(measured.nearest, 0.05))
    duplicate = max(very_similar, _reached_by(measured.altered, 0.99))
    return Derived(Thresholds(same, very_similar, similar, duplicate), kept)


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


def _label_cosines(gallery: IndexedPictures) -> tuple[Cosines, Cosines]:
    """Return the cosines of all pairs of a sample of labelled pictures: of one label, of different labels."""
    rows, labels = gallery.labelled(PAIRED)
    vectors = gallery.index.vectors_at(rows)
    first, second = np.triu_indices(len(rows), 1)
    cosines = (vectors @ vectors.T)[first, second]
    alike = (labels[first] == labels[second]).astype(bool)
    return cosines[alike], cosines[~alike]


def _nearest_cosines(gallery: IndexedPictures, advance: Advance) -> tuple[Cosines, Cosines]:
    """Return, of a sample of pictures, the cosine to the nearest one that is no copy, and to the nearest copy."""
    nearest, copy = [], []
    for row in gallery.sample(COMPARED).tolist():
        others = gallery.nearest(row)
        nearest += [cosine for _, cosine, agrees in others if not agrees][:1]
        copy.append(next((cosine for _, cosine, agrees in others if agrees), -1.0))
        advance(1)
    return np.array(nearest, np.float32), np.array(copy, np.float32)
