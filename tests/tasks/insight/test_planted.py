"""Planted duplicates and wrong labels are all found, and hardly anything else is."""

import itertools
from pathlib import Path

from gallery.insight import analyses, mislabels
from gallery.models import Analysis, Duplicate, DuplicateGroup, Image
from tasks.insight.run import run_next
from tests.tasks.insight.conftest import DUPLICATES, MISLABELS, Planted

KNOWN = Path(__file__).resolve().parents[3] / "bench" / "near_duplicates.txt"
FALSE_ONES = 10


def run(kind: Analysis.Kind) -> None:
    analyses.request(kind)
    run_next()
    assert analyses.get(kind).state == Analysis.State.DONE


def known_groups() -> list[set[str]]:
    """Return the titles of photographs that are near-duplicates in the folder itself."""
    lines = [line.split() for line in KNOWN.read_text().splitlines() if not line.startswith("#")]
    return [{f"{label} {number}" for number in numbers} for _, label, *numbers in lines]


def test_planted_duplicates_and_mislabels_are_found(planted: Planted) -> None:
    run(Analysis.Kind.DUPLICATES)
    groups = [set(group.images.all()) for group in DuplicateGroup.objects.all()]
    missed = [pair for pair in planted.duplicates if not any(pair <= group for group in groups)]
    assert len(planted.duplicates) == DUPLICATES
    assert missed == []
    false = [pair for group in groups for pair in itertools.combinations(group, 2) if not is_true(planted, *pair)]
    print(f"duplicates: {len(groups)} groups, {Duplicate.objects.count()} pictures, {len(false)} false pairs")
    assert len(false) <= FALSE_ONES, [(str(one), str(other)) for one, other in false]
    run(Analysis.Kind.MISLABELS)
    suspects = {suspect.image: suspect.suggestion for suspect in mislabels.suspects()}
    assert len(planted.mislabels) == MISLABELS
    assert {image: suspects.get(image) for image in planted.mislabels} == planted.mislabels
    print(f"wrong labels: {len(suspects)} suspects, {len(suspects) - MISLABELS} of them false")
    assert len(suspects) - MISLABELS <= FALSE_ONES, suspects


def is_true(planted: Planted, *pair: Image) -> bool:
    """Tell whether two pictures show the same: by what was planted, or by the list that people made."""
    pairs = [sorted(group, key=lambda image: image.title == "copy") for group in planted.duplicates]
    origins = {copy: origin for origin, copy in pairs}
    titles = {origins.get(image, image).title for image in pair}
    return len(titles) == 1 or any(titles <= group for group in known_groups())
