"""The filters of a result page: labels with their counts, dates, and links that have both."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from gallery.models import Image, Query
from tests.gallery.rows import add_image, finished

pytestmark = pytest.mark.django_db


@pytest.fixture
def query(db: None) -> Query:
    """Return one that found three dogs, two cats and a picture without a label, a year apart from each other."""
    images = [add_image(seed, label=label) for seed, label in enumerate(["dog", "cat", "dog", "cat", "dog", ""], 4)]
    for year, image in enumerate(images[:5], start=2020):
        Image.objects.filter(pk=image.pk).update(taken_at=datetime(year, 6, 1, 12, tzinfo=UTC))
    return finished(*images)


def page(client: Client, query: Query, link: str = "") -> str:
    response = client.get(query.get_absolute_url() + link)
    assert response.status_code == 200
    return unescape(response.content.decode())


def ranks(text: str) -> list[int]:
    return [int(rank) for rank in re.findall(r'id="rank-(\d+)"', text)]


def chips(text: str) -> dict[str, tuple[int, str]]:
    """Return the offered labels: how many matches have each, and where its link leads."""
    found = re.findall(r'<a href="([^"]+)" data-filter="([^"]+)"[^>]*>[^<]*<span class="count">(\d+)</span>', text)
    return {label: (int(count), link) for link, label, count in found}


def test_each_label_of_the_matches_has_a_chip_with_its_count(visitor: Client, query: Query) -> None:
    found = chips(page(visitor, query))
    assert {label: count for label, (count, _) in found.items()} == {"dog": 3, "cat": 2}
    assert list(found) == ["dog", "cat"]


def test_a_chip_leads_to_the_matches_with_its_label_which_keep_their_ranks(visitor: Client, query: Query) -> None:
    _, link = chips(page(visitor, query))["cat"]
    text = unescape(visitor.get(link).content.decode())
    assert ranks(text) == [2, 4]
    assert {label: count for label, (count, _) in chips(text).items()} == {"dog": 3, "cat": 2}


def test_a_second_chip_adds_its_label_and_a_chosen_one_is_cleared(visitor: Client, query: Query) -> None:
    text = page(visitor, query, "?label=cat")
    assert ranks(unescape(visitor.get(chips(text)["dog"][1]).content.decode())) == [1, 2, 3, 4, 5]
    assert ranks(unescape(visitor.get(chips(text)["cat"][1]).content.decode())) == [1, 2, 3, 4, 5, 6]
    assert 'aria-current="true">cat' in text


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("?from=2022-01-01", [3, 4, 5]),
        ("?to=2021-06-01", [1, 2]),
        ("?from=2021-06-01&to=2022-06-01", [2, 3]),
        ("?from=2021-01-01&label=cat", [2, 4]),
        ("?from=yesterday&to=9999-99-99", [1, 2, 3, 4, 5, 6]),
        ("?label=", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_link_has_the_filters(visitor: Client, query: Query, link: str, found: list[int]) -> None:
    assert ranks(page(visitor, query, link)) == found


def test_the_counts_are_those_of_the_chosen_days(visitor: Client, query: Query) -> None:
    found = chips(page(visitor, query, "?from=2022-01-01"))
    assert {label: count for label, (count, _) in found.items()} == {"dog": 2, "cat": 1}


def test_filters_without_a_match_say_so_and_can_be_cleared(visitor: Client, query: Query) -> None:
    text = page(visitor, query, "?label=zebra%00")
    assert "No match passes these filters" in text
    assert f'href="{query.get_absolute_url()}" data-filter=""' in text


def test_pictures_hidden_since_are_not_counted(visitor: Client, query: Query) -> None:
    Image.objects.filter(label="dog").update(is_hidden=True)
    assert "dog" not in chips(page(visitor, query, "?label=cat"))


def test_without_dates_there_is_no_date_range(visitor: Client, query: Query) -> None:
    assert 'type="date"' in page(visitor, query)
    Image.objects.update(taken_at=None)
    assert 'type="date"' not in page(visitor, query)


def test_a_filter_looks_through_all_matches_and_shows_ten(visitor: Client) -> None:
    images = [add_image(seed, label="late" if seed > 14 else "early") for seed in range(4, 28)]
    query = finished(*images)
    assert ranks(page(visitor, query, "?label=late")) == list(range(12, 22))
    text = page(visitor, query, "?label=late&show=20")
    assert ranks(text) == list(range(12, 25))
    assert "Show more" not in text


def test_one_label_needs_no_filter(visitor: Client) -> None:
    query = finished(*(add_image(seed, label="dog") for seed in range(4, 8)))
    assert chips(page(visitor, query)) == {}


def test_a_filtered_page_takes_one_statement_more(
    visitor: Client, query: Query, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(4):
        page(visitor, query, "?label=cat")
