"""Which pictures become a group, in a gallery of known vectors."""

import pytest

from gallery.index import generations
from gallery.insight import analyses, duplicates
from gallery.models import Analysis, DuplicateGroup, Image
from tasks.indexing.build import build_generation
from tasks.insight.run import run_next
from tests.engine.galleries import MODEL_ID
from tests.tasks.known import add_at

pytestmark = pytest.mark.django_db


def found() -> list[set[Image]]:
    analyses.request(Analysis.Kind.DUPLICATES)
    run_next()
    assert analyses.get(Analysis.Kind.DUPLICATES).error == ""
    return [set(group.images.all()) for group in DuplicateGroup.objects.order_by("id")]


@pytest.fixture
def index() -> None:
    for degrees in range(90, 180, 20):
        add_at(degrees)
    build_generation(MODEL_ID)


def test_pictures_that_are_alike_are_a_group_whether_they_are_in_the_index_or_not(index: None) -> None:
    pair = {add_at(0), add_at(5)}
    assert found() == [pair]
    build_generation(MODEL_ID)
    assert found() == [pair]


def test_each_copy_is_like_the_best_one_of_its_group(index: None) -> None:
    first, middle, last = (add_at(degrees) for degrees in (0, 10, 20))
    Image.objects.filter(pk=middle.pk).update(width_px=9)
    assert found() == [{first, middle, last}]
    Image.objects.filter(pk=first.pk).update(width_px=99)
    assert found() == [{first, middle}]


def test_hidden_pictures_are_in_no_group(index: None) -> None:
    add_at(0)
    add_at(5, is_hidden=True)
    assert found() == []


def test_all_of_many_copies_are_found(index: None) -> None:
    copies = {add_at(number / 100) for number in range(150)}
    assert found() == [copies]


def test_pictures_set_apart_stay_apart(index: None) -> None:
    one, other = add_at(0), add_at(5)
    found()
    duplicates.set_apart(DuplicateGroup.objects.get(), "curator")
    assert found() == []
    third = add_at(2)
    assert [group >= {third} and len(group) for group in found()] == [2]
    assert {one, other} not in found()


def test_without_an_index_it_says_so() -> None:
    analyses.request(Analysis.Kind.DUPLICATES)
    run_next()
    assert generations.active() is None
    assert "There is no index yet" in analyses.get(Analysis.Kind.DUPLICATES).error
