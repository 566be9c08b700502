"""GET /metrics: Prometheus text."""

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from gallery import generations, queries
from gallery.models import Embedding, Query
from tests.gallery.rows import add_image, ago, ask, finished
from tests.health.reports import worker
from tests.stack import free_port

pytestmark = pytest.mark.django_db


def scrape(client: Client) -> dict[str, float]:
    """Each sample, written as Prometheus writes it, with its value."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(response.content.decode())
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_an_empty_system_has_its_zeros(client: Client) -> None:
    assert scrape(client) == {
        "simsearch_queries waiting": 0,
        "simsearch_queries running": 0,
        "simsearch_queries done": 0,
        "simsearch_queries failed": 0,
        "simsearch_oldest_waiting_seconds": 0,
        "simsearch_images visible": 0,
        "simsearch_images hidden": 0,
        "simsearch_embeddings": 0,
        "simsearch_redis_up": 1,
    }


def test_queries_are_counted_by_state(client: Client) -> None:
    finished()
    ask()
    queries.claim(1)
    for _ in range(2):
        Query.objects.filter(pk=ask().pk).update(waiting_since=ago(20))
    told = scrape(client)
    assert [told[f"simsearch_queries {state}"] for state in ("waiting", "running", "done", "failed")] == [2, 1, 1, 0]
    assert told["simsearch_oldest_waiting_seconds"] == pytest.approx(20, abs=2)


def test_the_gallery_is_counted(client: Client) -> None:
    image = add_image(1)
    add_image(2, is_hidden=True)
    Embedding.objects.create(image=image, network="compact", vector=b"")
    told = scrape(client)
    assert (told["simsearch_images visible"], told["simsearch_images hidden"]) == (1, 1)
    assert told["simsearch_embeddings"] == 1


def test_the_active_index_is_described(client: Client) -> None:
    generation = generations.start("compact")
    generations.activate(generation, images=7, last_embedding=7, manifest={"recall": 0.99})
    told = scrape(client)
    assert told["simsearch_index_generation"] == generation.number
    assert told["simsearch_index_images"] == 7
    assert told["simsearch_index_recall"] == 0.99
    assert told["simsearch_index_age_seconds"] == pytest.approx(0, abs=5)


def test_workers_are_counted_by_device(client: Client) -> None:
    worker("one")
    worker("two")
    worker("three", device="cuda:0")
    worker("gone", heard_s_ago=60)
    told = scrape(client)
    assert (told["simsearch_workers cpu compact"], told["simsearch_workers cuda:0 compact"]) == (2, 1)


def test_a_scrape_works_without_redis(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert scrape(client)["simsearch_redis_up"] == 0
