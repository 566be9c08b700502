"""What the index finds of the true neighbours, for machines (/metrics) and for curators (admin)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from gallery.index import generations, recall
from gallery.models import IndexGeneration
from tests.gallery.conftest import curator, member, visitor
from tests.health.test_metrics import scrape
from tests.stack import free_port

__all__ = ["curator", "member", "visitor"]

pytestmark = pytest.mark.django_db

REACHED = {"recall": 0.993, "recall_target": 0.99}
MISSED = {"recall": 0.972, "recall_target": 0.99}


def built(manifest: dict[str, Any]) -> IndexGeneration:
    generation = generations.start("efficientnet_lite0")
    generations.activate(generation, images=7, last_embedding=7, manifest=manifest)
    return generation


def cell(client: Client, column: str) -> str:
    """Return what the list of generations shows in the row of the only one."""
    html = client.get(reverse("admin:gallery_indexgeneration_changelist")).content.decode()
    return html.split(f'class="field-{column}">')[1].split("</td>")[0]


@pytest.mark.parametrize(("manifest", "meets"), [(REACHED, 1), (MISSED, 0)])
def test_a_scrape_says_whether_the_target_is_reached(client: Client, manifest: dict[str, Any], meets: int) -> None:
    built(manifest)
    metrics = scrape(client)
    assert metrics["simsearch_index_recall"] == manifest["recall"]
    assert metrics["simsearch_index_recall_target"] == 0.99
    assert metrics["simsearch_index_meets_target"] == meets


def test_the_admin_says_what_was_measured(curator: Client) -> None:
    built(REACHED)
    assert cell(curator, "recall") == "0.993"


def test_the_admin_says_that_the_target_is_missed(curator: Client) -> None:
    built(MISSED)
    assert cell(curator, "recall") == "0.972, misses its target 0.990"


@pytest.mark.parametrize("manifest", [{}, {"recall": 0.993}, {"recall": None, "recall_target": 0.99}])
def test_a_generation_that_was_not_measured_says_so(client: Client, curator: Client, manifest: dict[str, Any]) -> None:
    built(manifest)
    assert cell(curator, "recall") == "—"
    assert "simsearch_index_meets_target" not in scrape(client)


def test_recall_of_real_searches_is_reported(client: Client, curator: Client) -> None:
    generation = built(REACHED)
    recall.count(generation.number, 39, 40)
    assert scrape(client)["simsearch_live_recall"] == 0.975
    assert cell(curator, "live_recall") == "0.975"


def test_before_any_search_was_checked_nothing_is_claimed(client: Client, curator: Client) -> None:
    generation = built(REACHED)
    recall.count(generation.number + 1, 39, 40)
    assert "simsearch_live_recall" not in scrape(client)
    assert cell(curator, "live_recall") == "—"


def test_without_redis_the_rest_is_still_reported(client: Client, curator: Client, settings: Settings) -> None:
    built(MISSED)
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    metrics = scrape(client)
    assert (metrics["simsearch_index_meets_target"], metrics["simsearch_redis_up"]) == (0, 0)
    assert cell(curator, "live_recall") == "Redis does not answer"
    assert cell(curator, "recall") == "0.972, misses its target 0.990"
