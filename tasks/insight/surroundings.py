"""Find for each visible picture of the gallery the others that are most like it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from engine.images.fingerprints import Fingerprints
from gallery.models import Embedding
from gallery.queries.lifecycle import Found
from tasks.search.delta import to_fingerprints, to_vectors
from tasks.search.near_duplicates import Rule
from tasks.search.neighbours import Neighbours, SearchRequest

STEP = 256  # pictures searched for together: 4 MB of vectors
FEW = 32  # others looked at first
GROWTH = 4

Picture = tuple[UUID, bytes | memoryview]  # and its stored embedding
Advance = Callable[[int, int], None]  # how many are done, of how many


@dataclass(frozen=True)
class Surroundings:
    """A picture and the visible others that are most like it, best first.

    `copies`: near-duplicates with their cosines; `others`: the rest.
    """

    image: UUID
    copies: list[tuple[UUID, float]]
    others: list[tuple[UUID, float]]


class EmbeddedPictures:
    """The visible pictures that have an embedding by the model of `neighbours`, and their `fingerprints`."""

    def __init__(self, neighbours: Neighbours, rule: Rule) -> None:
        neighbours.refresh()
        self._neighbours = neighbours
        self._rule = rule
        rows = Embedding.objects.filter(model_id=neighbours.model_id, image__is_hidden=False).order_by("id")
        self.ids = list(rows.values_list("id", flat=True))
        marks = list(rows.values_list("image__id", "fingerprint"))
        self._places = {image: place for place, (image, _) in enumerate(marks)}
        self.fingerprints: Fingerprints = to_fingerprints([mark for _, mark in marks])

    def fingerprint(self, images: list[UUID]) -> Fingerprints:
        """Return the fingerprints [m, 64] of these pictures."""
        rows: Fingerprints = self.fingerprints[[self._places[image] for image in images]]
        return rows

    def surroundings(self, advance: Advance) -> Iterator[Surroundings]:
        """Go through all pictures, in the order of their embeddings."""
        for start in range(0, len(self.ids), STEP):
            rows = Embedding.objects.filter(id__in=self.ids[start : start + STEP], image__is_hidden=False)
            pictures = list(rows.order_by("id").values_list("image__id", "vector"))
            pictures = [(image, vector) for image, vector in pictures if image in self._places]
            found = self._search(pictures, FEW)
            for picture, hits in zip(pictures, found, strict=True):
                yield self._apart(picture, hits)
            advance(min(start + STEP, len(self.ids)), len(self.ids))

    def _search(self, pictures: list[Picture], k: int) -> list[list[Found]]:
        requests = [SearchRequest(k, without=frozenset([image])) for image, _ in pictures]
        return self._neighbours.search(to_vectors([vector for _, vector in pictures]), requests)

    def _apart(self, picture: Picture, hits: list[Found]) -> Surroundings:
        """Separate copies from others; if all hits are copies, search for more."""
        image, k = picture[0], FEW
        while True:
            known = [(hit.image, hit.similarity) for hit in hits if hit.image in self._places]
            copies = []
            if known:
                marks = self.fingerprint([other for other, _ in known])
                near = self._rule.are_probable(self.fingerprint([image]), marks, [[cosine for _, cosine in known]])
                copies = [one for one, is_near in zip(known, near[0].tolist(), strict=True) if is_near]
            if len(copies) < len(known) or len(hits) < k:
                return Surroundings(image, copies, [one for one in known if one not in copies])
            k *= GROWTH
            [hits] = self._search([picture], k)
