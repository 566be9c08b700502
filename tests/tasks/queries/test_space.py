"""SIMSEARCH_QUERY_SPACE: the pictures of queries take so much of the disk and no more."""

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from gallery.models import Query
from gallery.queries import retention
from tasks.tasks import expire
from tests.gallery.rows import ago, ask, finished, set_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept() -> list[Query]:
    """Return one that has waited longest, then three that are finished, the oldest first."""
    rows = [*(finished() for _ in range(3)), ask(9)]
    for age_s, query in enumerate(rows):
        set_row(query, created_at=ago(100 - age_s if age_s < 3 else 200))
    return [rows[3], *rows[:3]]


def sizes(queries: list[Query]) -> int:
    return sum(
        path.stat().st_size for q in queries for path in (q.picture_file.path, q.upload_file.path) if path.exists()
    )


@pytest.mark.parametrize(("missing", "gone"), [(0, 0), (1, 1), ("one", 1), ("one and a byte", 2), ("all", 3)])
def test_the_oldest_finished_queries_go_first(
    kept: list[Query],
    settings: Settings,
    missing: int | str,
    gone: int,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    excess = {"one": sizes(kept[1:2]), "one and a byte": sizes(kept[1:2]) + 1, "all": sizes(kept)}
    settings.SIMSEARCH_QUERY_SPACE = sizes(kept) - (missing if isinstance(missing, int) else excess[missing])
    with django_capture_on_commit_callbacks(execute=True):
        assert expire() == gone
    left = [kept[0], *kept[1 + gone :]]
    assert set(Query.objects.all()) == set(left)
    assert retention.used() == sizes(kept) == sizes(left)
    assert kept[0].upload_file.path.exists()


def test_the_quota_is_5_gb_unless_the_operator_says_otherwise(settings: Settings) -> None:
    assert settings.SIMSEARCH_QUERY_SPACE == 5_000_000_000
