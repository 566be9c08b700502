"""Find pictures that are probably labelled wrongly: most of their neighbours have one other label."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from uuid import UUID

from gallery.models import Decision, Image, Suspect
from tasks.insight.surroundings import Advance, EmbeddedPictures

NEIGHBOURS = 15  # labelled ones, without near-duplicates, that vote
SHARPNESS = 8  # the power of its cosine that a vote weighs: the nearest ones tell most of what a picture shows
FEWEST = 3  # fewer neighbours vote for a label with few pictures, which could not win otherwise
# Share of the votes for the other label minus that for the present one. Of 1,773 photographs with 20 wrong labels
# (eight draws) this lists all 20 and at most eight others; of 600 with 20 (forty draws) all 20 and at most six others.
SUSPICIOUS = 0.3
KEPT = 12  # neighbours that are shown


@dataclass(frozen=True)
class Doubt:
    """A picture, its label, the label that its neighbours have, and how much more their votes weigh (0 to 1)."""

    image: UUID
    label: str
    suggestion: str
    suspicion: float
    neighbours: list[UUID]


def find(gallery: EmbeddedPictures, advance: Advance) -> list[Doubt]:
    """Return the suspicious pictures, the most suspicious first."""
    labels = dict(Image.objects.visible().exclude(label="").values_list("pk", "label"))
    often = Counter(labels.values())
    confirmed = Decision.objects.filter(kind=Decision.Kind.LABEL_IS_RIGHT)
    right = {(UUID(image), decision.label) for decision in confirmed for image in decision.images}
    doubts = []
    for one in gallery.surroundings(advance):
        own = labels.get(one.image)
        if own is None or (one.image, own) in right:
            continue
        count = min(NEIGHBOURS, max(FEWEST, often[own] - 1))
        voters = [(other, max(0.0, cosine) ** SHARPNESS) for other, cosine in one.others if other in labels][:count]
        if len(voters) < FEWEST:
            continue
        votes: dict[str, float] = defaultdict(float, {own: 0.0})
        for voter, weight in voters:
            votes[labels[voter]] += weight
        suggestion = max(votes, key=votes.__getitem__)
        suspicion = (votes[suggestion] - votes[own]) / (sum(votes.values()) or 1)
        if suspicion >= SUSPICIOUS:
            doubts.append(Doubt(one.image, own, suggestion, suspicion, [voter for voter, _ in voters[:KEPT]]))
    return sorted(doubts, key=lambda doubt: -doubt.suspicion)


def keep(doubts: list[Doubt]) -> dict[str, int]:
    """Replace the rows of the last analysis; returns the counts that the page shows. In a transaction."""
    Suspect.objects.all().delete()
    there = set(Image.objects.values_list("pk", flat=True))  # some may be deleted by now
    Suspect.objects.bulk_create(
        Suspect(
            image_id=doubt.image,
            label=doubt.label,
            suggestion=doubt.suggestion,
            suspicion=doubt.suspicion,
            neighbours=[str(image) for image in doubt.neighbours],
        )
        for doubt in doubts
        if doubt.image in there
    )
    return {"suspects": len(doubts)}
