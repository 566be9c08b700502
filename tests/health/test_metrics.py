"""GET /metrics: Prometheus text."""

import socket

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from gallery.index import generations
from gallery.models import Embedding, Query
from gallery.queries import lifecycle
from tests.gallery.rows import add_image, ago, ask, finished
from tests.health.reports import worker
from tests.stack import free_port

pytestmark = pytest.mark.django_db


def scrape(client: Client) -> dict[str, float]:
    """Return each sample, as its name and the values of its labels in the order of their names, with its value."""
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
    metrics = scrape(client)
    counted = (
        "simsearch_uploads",
        "simsearch_answers",
        "simsearch_b",
        "simsearch_stage",
        "simsearch_http",
        "simsearch_d",
    )
    assert {name: value for name, value in metrics.items() if not name.startswith(counted)} == {
        "simsearch_queries waiting": 0,
        "simsearch_queries running": 0,
        "simsearch_queries done": 0,
        "simsearch_queries failed": 0,
        "simsearch_oldest_waiting_seconds": 0,
        "simsearch_weak_queries": 0,
        "simsearch_images visible": 0,
        "simsearch_images hidden": 0,
        "simsearch_embeddings": 0,
        "simsearch_index_problem_workers": 0,
        "simsearch_queue_moving": 0,
        "simsearch_redis_up": 1,
    }


def test_what_the_dashboard_shows_is_here(client: Client) -> None:
    add_image(1, label="cat")
    finished(add_image(2, label="cat"), band="weak")
    finished(add_image(3))
    metrics = scrape(client)
    assert metrics["simsearch_weak_queries"] == 1
    assert metrics["simsearch_labelled_images cat"] == 2
    assert 0 < metrics["simsearch_disk_free_bytes"] < metrics["simsearch_disk_bytes"]


def test_queries_are_counted_by_state(client: Client) -> None:
    finished()
    ask()
    lifecycle.claim(1)
    for _ in range(2):
        Query.objects.filter(pk=ask().pk).update(waiting_since=ago(20))
    metrics = scrape(client)
    assert [metrics[f"simsearch_queries {state}"] for state in ("waiting", "running", "done", "failed")] == [2, 1, 1, 0]
    assert metrics["simsearch_oldest_waiting_seconds"] == pytest.approx(20, abs=2)


def test_the_gallery_is_counted(client: Client) -> None:
    image = add_image(1)
    add_image(2, is_hidden=True)
    Embedding.objects.create(image=image, model_id="efficientnet_lite0", vector=b"")
    metrics = scrape(client)
    assert (metrics["simsearch_images visible"], metrics["simsearch_images hidden"]) == (1, 1)
    assert metrics["simsearch_embeddings"] == 1


def test_the_active_index_is_described(client: Client) -> None:
    generation = generations.start("efficientnet_lite0")
    old = Embedding.objects.create(image=add_image(1), model_id="efficientnet_lite0", vector=b"")
    Embedding.objects.create(image=add_image(2), model_id="efficientnet_lite0", vector=b"")
    Embedding.objects.create(image=add_image(3), model_id="alexnet", vector=b"")
    generations.activate(generation, images=7, last_embedding=old.pk, manifest={"recall": 0.99})
    metrics = scrape(client)
    assert metrics["simsearch_index_generation"] == generation.number
    assert metrics["simsearch_index_images"] == 7
    assert metrics["simsearch_index_recall"] == 0.99
    assert metrics["simsearch_index_newer_embeddings"] == 1
    assert metrics["simsearch_index_age_seconds"] == pytest.approx(0, abs=5)


def test_workers_are_counted_by_device(client: Client) -> None:
    worker("one")
    worker("two")
    worker("three", device="cuda:0")
    worker("gone", heard_s_ago=60)
    metrics = scrape(client)
    assert (
        metrics["simsearch_workers cpu efficientnet_lite0"],
        metrics["simsearch_workers cuda:0 efficientnet_lite0"],
    ) == (
        2,
        1,
    )


def test_a_queue_that_no_worker_empties_is_reported(client: Client) -> None:
    worker("one", swept_s_ago=60)
    assert (scrape(client)["simsearch_queue_moving"], scrape(client)["simsearch_workers cpu efficientnet_lite0"]) == (
        0,
        1,
    )
    worker("two")
    assert scrape(client)["simsearch_queue_moving"] == 1


def test_workers_that_cannot_use_the_index_are_counted(client: Client) -> None:
    worker("one")
    worker("two", index_problem="The index was made by another model.")
    assert scrape(client)["simsearch_index_problem_workers"] == 1


def test_a_scrape_works_without_redis(client: Client, settings: Settings) -> None:
    generations.activate(generations.start("efficientnet_lite0"), images=7, last_embedding=7, manifest={"recall": 0.99})
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    metrics = scrape(client)
    assert (metrics["simsearch_redis_up"], metrics["simsearch_index_recall"]) == (0, 0.99)


def test_a_silent_redis_costs_a_scrape_one_time_out(client: Client, settings: Settings) -> None:
    generations.activate(generations.start("efficientnet_lite0"), images=7, last_embedding=7, manifest={"recall": 0.99})
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        settings.REDIS_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        response = client.get("/metrics")
        assert b"simsearch_redis_up 0.0" in response.content
        listener.setblocking(False)
        listener.accept()[0].close()
        with pytest.raises(BlockingIOError):  # no second connection, which would take a time-out of its own
            listener.accept()
