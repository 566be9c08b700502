"""Pages of the admin cost as many statements with many rows as with few."""

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gallery.models import Analysis, Duplicate, DuplicateGroup, Image, MapPoint, Query, Suspect
from tests.gallery.rows import ago

pytestmark = pytest.mark.django_db

FEW, MANY = 4, 120
PAGES = {
    "grid": "/admin/gallery/image/?view=grid",
    "table": "/admin/gallery/image/?view=table",
    "filters": "/admin/gallery/image/?embedding=waiting&duplicates=yes&_facets=True",
    "search": "/admin/gallery/image/?q=picture",
    "add many": "/admin/gallery/image/add-many/",
    "queries": "/admin/gallery/query/",
    "generations": "/admin/gallery/indexgeneration/",
    "duplicates": "/admin/duplicates/",
    "mislabels": "/admin/mislabels/",
    "map": "/admin/map/",
    "evaluation": "/admin/evaluation/",
    "dashboard": "/admin/dashboard/",
}
SQLITE_COLUMNS = 2000  # of the result of one statement
MOST = 40  # the filters with their counts; the others take fewer
# The list of queries asks for the matches of each row that it shows, 40 at most, by one statement of primary keys.
OF_EACH_ROW = {"queries": 40}


def images(count: int) -> list[Image]:
    return Image.objects.bulk_create(
        Image(
            content_hash=f"{count} {number}",
            title=f"picture {number}",
            label=f"label {number % 30}",
            width_px=4,
            height_px=3,
            created_at=ago(60),
        )
        for number in range(count)
    )


def fill(count: int) -> None:
    """Add pictures, each with an entry on every page."""
    made = images(count)
    groups = DuplicateGroup.objects.bulk_create(DuplicateGroup(kind="copy") for _ in range(count // 2))
    Duplicate.objects.bulk_create(
        Duplicate(group=groups[number // 2], image=image, similarity=1) for number, image in enumerate(made)
    )
    Suspect.objects.bulk_create(
        Suspect(image=image, label=image.label, suggestion="cat", suspicion=0.5, neighbours=[str(made[0].pk)])
        for image in made
    )
    MapPoint.objects.bulk_create(MapPoint(image=image, x=0.5, y=0.5) for image in made)
    match = {"similarity": 0.3, "band": "weak", "duplicates": []}
    Query.objects.bulk_create(
        Query(like=image, has_picture=False, state="done", matches=[match | {"image": str(image.pk)}], model_id="x")
        for image in made
    )
    Analysis.objects.update_or_create(kind="evaluation", defaults={"state": "done", "result": evaluation(made)})


def evaluation(made: list[Image]) -> dict[str, object]:
    one = [{"image": str(image.pk), "label": image.label, "cosine": 0.5} for image in made[:10]]
    queries = [{"image": str(image.pk), "label": image.label, "precision": 0, "matches": one} for image in made]
    return {"k": 10, "queries": queries, "labels": []}


@pytest.fixture
def statements(curator: Client) -> Callable[[str], int]:
    def count(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert curator.get(address).status_code == 200
        return len(captured)

    return count


@pytest.mark.parametrize("name", PAGES)
def test_a_page_takes_as_many_statements_for_many_rows_as_for_few(statements: Callable[[str], int], name: str) -> None:
    fill(FEW)
    statements(PAGES[name])  # the session remembers the view
    few = statements(PAGES[name])
    fill(MANY)
    many = statements(PAGES[name])
    assert many - few <= max(2, OF_EACH_ROW.get(name, 0)), name  # two more for pages that there were none of
    assert few <= MOST, name


def test_each_of_many_labels_is_counted(curator: Client) -> None:
    Image.objects.bulk_create(
        Image(content_hash=f"{number}", label=f"label {number // 2}", width_px=4, height_px=3)
        for number in range(2 * SQLITE_COLUMNS)
    )
    page = curator.get("/admin/gallery/image/?_facets=True").content.decode()
    assert len(re.findall(r"label \d+ \(2\)", page)) == SQLITE_COLUMNS
