"""Filter the matches of a query by label and date when they are shown: the best hundred are stored."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.http import QueryDict

from gallery.models import Image, Query

MOST_CHIPS = 20  # labels that are offered, the most frequent first; chosen ones are always there


@dataclass(frozen=True)
class Filter:
    """The chosen labels and the range of days; an empty filter passes every match."""

    labels: frozenset[str] = frozenset()
    since: date | None = None
    until: date | None = None

    def has_day(self, day: date | None) -> bool:
        """Return whether this day, or a picture without one, is within the range."""
        if self.since is None and self.until is None:
            return True
        return day is not None and (self.since or date.min) <= day <= (self.until or date.max)

    def has_label(self, label: str) -> bool:
        """Return whether this label passes."""
        return not self.labels or label in self.labels


@dataclass(frozen=True)
class Chip:
    """A label among the matches: how many have it, and the parameters of the link that chooses or clears it."""

    label: str
    count: int
    is_chosen: bool
    link: str


@dataclass(frozen=True)
class Filters:
    """The filters of a result page. `passing`: the matches that pass, by image; None where all do.

    `first`, `last`: the days of the oldest and the newest match; None where none has one.
    """

    chosen: Filter
    chips: list[Chip]
    passing: frozenset[str] | None
    first: date | None
    last: date | None

    @property
    def is_active(self) -> bool:
        """Return whether anything is chosen."""
        return self.passing is not None


def parsed(sent: QueryDict) -> Filter:
    """Return the filter of a link: `label` (repeatable), `from` and `to` (2026-11-28); what is no date is left out."""
    return Filter(frozenset(filter(None, sent.getlist("label"))), _day(sent.get("from")), _day(sent.get("to")))


def of(query: Query, sent: QueryDict) -> Filters:
    """Return the filters of a finished query's page, in one statement."""
    chosen = parsed(sent)
    ids = [UUID(match["image"]) for match in query.matches or []]
    rows = Image.objects.visible().filter(pk__in=ids).order_by().values_list("id", "label", "taken_at") if ids else []
    facts = [(str(id_), label, taken_at.date() if taken_at else None) for id_, label, taken_at in rows]
    counts = Counter(label for _, label, day in facts if label and chosen.has_day(day))
    offered = [label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CHIPS]]
    offered += sorted(chosen.labels - set(offered))[:MOST_CHIPS]
    days = [day for _, _, day in facts if day]
    passing = frozenset(id_ for id_, label, day in facts if chosen.has_label(label) and chosen.has_day(day))
    return Filters(
        chosen,
        [Chip(label, counts[label], label in chosen.labels, _toggled(sent, label)) for label in offered],
        passing if chosen != Filter() else None,
        min(days, default=None),
        max(days, default=None),
    )


def _toggled(sent: QueryDict, label: str) -> str:
    """Return the parameters of the page with this label chosen, or no longer."""
    changed = sent.copy()
    changed.pop("show", None)
    labels: Sequence[str] = changed.getlist("label")
    changed.setlist("label", [one for one in labels if one != label] if label in labels else [*labels, label])
    return f"?{changed.urlencode()}"


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
