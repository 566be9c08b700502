"""The places of pictures on the map, in a gallery of known vectors."""

import math

import pytest

from gallery.insight import analyses
from gallery.models import Analysis, Image, MapPoint
from tasks.indexing.build import build_generation
from tasks.insight.run import run_next
from tests.engine.galleries import MODEL_ID
from tests.tasks.known import add_at

pytestmark = pytest.mark.django_db


def draw() -> None:
    analyses.request(Analysis.Kind.MAP)
    run_next()
    assert (analyses.get(Analysis.Kind.MAP).error, analyses.get(Analysis.Kind.MAP).state) == ("", "done")


def place(image: Image) -> tuple[float, float]:
    point = MapPoint.objects.get(image=image)
    return point.x, point.y


def test_similar_pictures_lie_side_by_side_and_hidden_ones_nowhere() -> None:
    near = [add_at(degrees) for degrees in range(12)]
    far = [add_at(90 + degrees) for degrees in range(12)]
    hidden = add_at(20, is_hidden=True)
    build_generation(MODEL_ID)
    added = add_at(95.5)  # newer than the index
    draw()
    within = max(math.dist(place(near[0]), place(other)) for other in near)
    across = min(math.dist(place(one), place(other)) for one in near for other in [*far, added])
    assert within < across
    assert not MapPoint.objects.filter(image=hidden).exists()
    assert analyses.get(Analysis.Kind.MAP).total == 500
    assert all(0 <= value <= 1 for point in MapPoint.objects.all() for value in (point.x, point.y))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_pictures_have_places_too(count: int) -> None:
    images = [add_at(13 * number) for number in range(count)]
    build_generation(MODEL_ID)
    draw()
    assert len({place(image) for image in images}) == count


def test_a_deleted_picture_is_gone_from_the_map() -> None:
    images = [add_at(13 * number) for number in range(3)]
    build_generation(MODEL_ID)
    draw()
    images[0].delete()
    assert set(MapPoint.objects.values_list("image", flat=True)) == {image.pk for image in images[1:]}
