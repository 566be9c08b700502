"""Which labels are suspicious, in a gallery of known vectors."""

import pytest

from gallery.insight import analyses, mislabels
from gallery.models import Analysis, Image, Suspect
from tasks.indexing.build import build_generation
from tasks.insight.run import run_next
from tests.engine.galleries import MODEL_ID
from tests.tasks.known import add_at

pytestmark = pytest.mark.django_db


def found() -> list[tuple[Image, str]]:
    analyses.request(Analysis.Kind.MISLABELS)
    run_next()
    assert analyses.get(Analysis.Kind.MISLABELS).error == ""
    return [(suspect.image, suspect.suggestion) for suspect in mislabels.suspects()]


@pytest.fixture
def two_labels() -> None:
    """Twelve cats from 0 degrees on, twelve dogs from 180 degrees on; no two are near-duplicates."""
    for number in range(12):
        add_at(13 * number, label="cat")
        add_at(180 + 13 * number, label="dog")
    build_generation(MODEL_ID)


def test_a_picture_among_those_of_another_label_is_suspicious(two_labels: None) -> None:
    wrong = add_at(71, label="dog")
    assert (wrong, "cat") in found()


def test_pictures_without_a_label_neither_vote_nor_are_suspected(two_labels: None) -> None:
    add_at(71)
    before = found()
    for degrees in range(0, 60, 13):
        add_at(degrees + 7)
    assert found() == before


def test_the_only_two_of_a_label_are_not_outvoted_by_the_many() -> None:
    pair = {add_at(0, label="rare"), add_at(14, label="rare")}
    for number in range(12):
        add_at(28 + 13 * number, label="common" if number % 2 else "other")
    build_generation(MODEL_ID)
    assert not pair & {image for image, _ in found()}


def test_near_neighbours_outvote_more_distant_ones() -> None:
    image = add_at(0, label="dog")
    for degrees in (14, 28, -14, -28):
        add_at(degrees, label="cat")
    for number in range(5):
        add_at(60 + 13 * number, label="dog")
        add_at(-60 - 13 * number, label="dog")
    build_generation(MODEL_ID)
    assert (image, "cat") in found()


def test_a_confirmed_label_is_not_suspected_again_unless_it_changes(two_labels: None) -> None:
    image = add_at(71, label="dog")
    assert (image, "cat") in found()
    mislabels.confirm_label(Suspect.objects.get(image=image), "curator")
    assert image not in {one for one, _ in found()}
    Image.objects.filter(pk=image.pk).update(label="bird")
    assert (image, "cat") in found()


def test_the_neighbours_label_is_taken(two_labels: None) -> None:
    image = add_at(71, label="dog")
    found()
    assert mislabels.take_label(Suspect.objects.get(image=image))
    assert Image.objects.get(pk=image.pk).label == "cat"
    assert image not in {one for one, _ in found()}
