"""The figures of the dashboard, and who sees the page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone, translation
from django.utils.dateformat import format as date_format
from pytest_django import Settings

from gallery.insight import charts, figures
from gallery.models import Image, Query
from tests.gallery.elements import Elements
from tests.gallery.rows import add_image, ago, finished, in_state, set_row
from tests.gallery.test_duplicates_page import staff

pytestmark = pytest.mark.django_db
PAGE = "/admin/dashboard/"


def test_searches_and_latency_are_counted_by_day() -> None:
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    for took_ms, days_ago in ((100, 2), (300, 2), (500, 2), (70, 0)):
        received = noon - timedelta(days=days_ago)
        set_row(finished(), created_at=received, finished_at=received + timedelta(milliseconds=took_ms))
    days = figures.days()
    assert [(day.searches, day.p50_ms, day.p95_ms) for day in days] == [(3, 300, 500), (0, None, None), (1, 70, 70)]
    assert days[-1].day == timezone.now().date()


@pytest.mark.parametrize(("percent", "value"), [(1, 1), (50, 5), (95, 10), (100, 10)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert figures.percentile([float(number) for number in range(10, 0, -1)], percent) == value


def test_searches_whose_best_match_is_weak_are_found() -> None:
    image = add_image(1)
    weak = finished(image, band="weak")
    finished(image, band="similar")
    finished()
    assert list(figures.weak()) == [weak]
    assert figures.weak_pictures() == [weak]
    weak.picture_file.path.unlink()
    assert figures.weak_pictures() == []


def test_the_pictures_that_are_matches_most_often_come_first() -> None:
    often, seldom, hidden = (add_image(seed) for seed in (1, 2, 3))
    finished(often, seldom, hidden)
    finished(hidden, often)
    Image.objects.filter(pk=hidden.pk).update(is_hidden=True)
    assert figures.most_seen() == [(often, 2), (seldom, 1)]


def test_failures_are_counted_by_reason() -> None:
    in_state("failed")
    in_state("failed")
    gone, _ = in_state("failed")
    set_row(gone, error_code="gone")
    assert figures.failures() == [("corrupt", 2), ("gone", 1)]


def test_pictures_are_counted_by_label() -> None:
    for seed, label in enumerate(["cat", "", "cat", "dog"]):
        add_image(seed, label=label)
    add_image(9, label="dog", is_hidden=True)
    assert figures.labels() == [("cat", 2), ("", 1), ("dog", 1)]


def test_the_highest_bar_takes_the_whole_height() -> None:
    low, high = charts.bars([("a", 1), ("b", 4)])
    assert (high.y, high.height) == (0, charts.HEIGHT)
    assert (low.y, low.height) == (charts.HEIGHT * 3 / 4, charts.HEIGHT / 4)
    assert low.x < low.x + low.width < high.x < high.x + high.width <= charts.WIDTH


def test_a_line_leaves_out_days_without_a_value() -> None:
    line = charts.line([10, None, 5], 10)
    assert line
    assert [tuple(map(float, point.split(","))) for point in line.points.split()] == [(106.7, 0), (533.3, 80)]
    assert charts.line([None], 10) is None


def test_a_single_day_is_a_line_as_wide_as_its_bar() -> None:
    line, [bar] = charts.line([5], 10), charts.bars([("a", 1)])
    assert line
    ends = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert ends == [(bar.x, 80), (bar.x + bar.width, 80)]


def test_days_are_named_in_the_language_of_each_viewer(curator: Client, settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "figures"}}
    set_row(finished(), created_at=timezone.now())
    for language in ("en", "ja"):
        with translation.override(language):
            day = date_format(timezone.now(), "j M")
        assert f">{day}</text>" in curator.get(PAGE, headers={"accept-language": language}).content.decode()


def test_the_page_of_an_empty_gallery_is_whole(curator: Client) -> None:
    response = curator.get(PAGE)
    assert response.status_code == 200
    assert "NaN" not in response.content.decode()


def test_the_page_shows_figures_and_pictures(curator: Client) -> None:
    image = add_image(1, label="<b>cat</b>")
    weak = finished(image, band="weak")
    set_row(weak, created_at=ago(1))
    response = curator.get(PAGE)
    assert {weak.picture_url, image.thumbnail_url} <= {shown["src"] for shown in Elements(response).of("img")}
    page = response.content.decode()
    assert "100 %" in page
    assert "&lt;b&gt;cat" in page
    assert "<b>cat" not in page


def test_pictures_of_visitors_are_for_those_who_may_see_queries(visitor: Client) -> None:
    weak = finished(add_image(1), band="weak")
    assert visitor.get(PAGE)["Location"].startswith("/admin/login/")
    client = staff("view_image")
    assert weak.picture_url not in Elements(client.get(PAGE)).values("src")
    Query.objects.all().delete()
    assert client.get(PAGE).status_code == 200


def test_staff_without_permission_are_refused() -> None:
    assert staff().get(PAGE).status_code == 403
