"""Prometheus text, read off the database and Redis at each scrape: the same from whichever process answers."""

from collections.abc import Iterator

import redis
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gallery import generations, queries, recall, workers
from gallery.models import Embedding, Image, Query


class SystemCollector(Collector):
    """What the rows say now."""

    def collect(self) -> Iterator[Metric]:
        yield self._queries()
        yield _gauge("simsearch_oldest_waiting_seconds", "Age of the oldest waiting query", queries.oldest_waiting_s())
        yield self._images()
        yield _gauge("simsearch_embeddings", "Stored embeddings", Embedding.objects.count())
        try:
            yield from self._index()
            yield from self._workers()
        except (redis.RedisError, OSError):
            yield _gauge("simsearch_redis_up", "Whether Redis answers", 0)
        else:
            yield _gauge("simsearch_redis_up", "Whether Redis answers", 1)

    def _queries(self) -> Metric:
        metric = GaugeMetricFamily("simsearch_queries", "Queries kept, by state", labels=["state"])
        counts = dict(Query.objects.order_by().values_list("state").annotate(count=Count("id")))
        for state in Query.State.values:
            metric.add_metric([state], counts.get(state, 0))
        return metric

    def _images(self) -> Metric:
        metric = GaugeMetricFamily("simsearch_images", "Gallery pictures", labels=["visibility"])
        hidden = Image.objects.filter(is_hidden=True).count()
        metric.add_metric(["visible"], Image.objects.count() - hidden)
        metric.add_metric(["hidden"], hidden)
        return metric

    def _index(self) -> Iterator[Metric]:
        active = generations.active()
        if active is None:
            return
        yield _gauge("simsearch_index_generation", "Number of the active index generation", active.number)
        yield _gauge("simsearch_index_images", "Pictures in the active index generation", active.images)
        age_s = (timezone.now() - active.created_at).total_seconds()
        yield _gauge("simsearch_index_age_seconds", "Age of the active index generation", age_s)
        measured, target = active.manifest.get("recall"), active.manifest.get("recall_target")
        if measured is not None:
            yield _gauge("simsearch_index_recall", "Recall@10 measured when it was built", measured)
        if measured is not None and target is not None:
            yield _gauge("simsearch_index_recall_target", "Recall@10 that was asked for", target)
            yield _gauge("simsearch_index_meets_target", "1 when it reaches that", measured >= target)
        live = recall.measured(active.number)
        if live is not None:
            yield _gauge("simsearch_live_recall", "Recall@10 of a sample of real searches", live)

    def _workers(self) -> Iterator[Metric]:
        alive = workers.alive()
        metric = GaugeMetricFamily("simsearch_workers", "Search workers alive", labels=["device", "model"])
        for device, model in sorted({(entry.device, entry.model) for entry in alive}):
            metric.add_metric([device, model], sum((e.device, e.model) == (device, model) for e in alive))
        yield metric


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


REGISTRY = CollectorRegistry()
REGISTRY.register(SystemCollector())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
