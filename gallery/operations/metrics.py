"""Prometheus text, read at each scrape from the database, Redis and the counters of all processes."""

import ipaddress
from collections.abc import Iterator, Mapping

import redis
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gallery.index import generations, recall
from gallery.insight import figures
from gallery.models import Embedding, Image, IndexGeneration, Query
from gallery.operations import counters, workers
from gallery.queries import waiting

LABELS = 50  # the most frequent ones: each label is a time series
# A proxy between the client and this process adds one of these.
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


class SystemCollector(Collector):
    """Metrics from the database and Redis, and the counters of all processes."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics from the database and Redis, and the counters of all processes."""
        active = generations.active()
        yield from self._queries_and_images()
        if active:
            yield from self._index(active)
        yield from counters.totals()
        try:
            if active and (live := recall.measured(active.number)) is not None:
                yield _gauge("simsearch_live_recall", "Recall@10 of a sample of real searches", live)
            yield from self._workers(active)
        except (redis.RedisError, OSError):
            yield _gauge("simsearch_redis_up", "Whether Redis answers", 0)
        else:
            yield _gauge("simsearch_redis_up", "Whether Redis answers", 1)

    def _queries_and_images(self) -> Iterator[Metric]:
        counts = dict(Query.objects.order_by().values_list("state").annotate(count=Count("id")))
        states = {state: counts.get(state, 0) for state in Query.State.values}
        yield _gauges("simsearch_queries", "Queries kept, by state", "state", states)
        yield _gauge("simsearch_oldest_waiting_seconds", "Age of the oldest waiting query", waiting.oldest_s())
        yield _gauge("simsearch_weak_queries", "Answered queries kept whose best match is weak", figures.weak().count())
        hidden = Image.objects.filter(is_hidden=True).count()
        visibility = {"visible": Image.objects.count() - hidden, "hidden": hidden}
        yield _gauges("simsearch_images", "Gallery pictures", "visibility", visibility)
        labels = dict(figures.labels()[:LABELS])
        yield _gauges("simsearch_labelled_images", "Visible pictures, by label", "label", labels)
        yield _gauge("simsearch_embeddings", "Stored embeddings", Embedding.objects.count())
        disk = figures.disk()
        yield _gauge("simsearch_disk_free_bytes", "Free space on the disk of the pictures", disk.free_bytes)
        yield _gauge("simsearch_disk_bytes", "Size of the disk of the pictures", disk.total_bytes)

    def _index(self, active: IndexGeneration) -> Iterator[Metric]:
        yield _gauge("simsearch_index_generation", "Number of the active index generation", active.number)
        yield _gauge("simsearch_index_images", "Pictures in the active index generation", active.images)
        newer = generations.newer_than(active, active.model_id)
        yield _gauge("simsearch_index_newer_embeddings", "Embeddings added after the active index generation", newer)
        age_s = (timezone.now() - active.created_at).total_seconds()
        yield _gauge("simsearch_index_age_seconds", "Age of the active index generation", age_s)
        measured, target = active.manifest.get("recall"), active.manifest.get("recall_target")
        if measured is not None:
            yield _gauge(
                "simsearch_index_recall",
                "Recall@10 of the active index generation, measured when it was built",
                measured,
            )
        if measured is not None and target is not None:
            yield _gauge("simsearch_index_recall_target", "Target of recall@10", target)
            yield _gauge(
                "simsearch_index_meets_target", "1 when the measured recall@10 reaches the target", measured >= target
            )

    def _workers(self, active: IndexGeneration | None) -> Iterator[Metric]:
        alive = workers.alive()
        metric = GaugeMetricFamily("simsearch_workers", "Search workers alive", labels=["device", "model"])
        for device, model in sorted({(entry.device, entry.model) for entry in alive}):
            metric.add_metric([device, model], sum((e.device, e.model) == (device, model) for e in alive))
        yield metric
        moving = float(workers.is_moving(alive))
        yield _gauge("simsearch_queue_moving", "1 when a search worker has run a sweep recently", moving)
        problems = len(workers.index_problems(alive, active.number if active else None))
        yield _gauge("simsearch_index_problem_workers", "Search workers that do not use the active index", problems)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=[label])
    for value_of_label, value in values.items():
        metric.add_metric([value_of_label], value)
    return metric


REGISTRY = CollectorRegistry()
REGISTRY.register(SystemCollector())


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to the staff and to clients with SIMSEARCH_METRICS_TOKEN (unset: to this machine)."""
    if is_operator(request):
        return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
    if settings.SIMSEARCH_METRICS_TOKEN:
        headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return HttpResponse("Send the metrics token.\n", "text/plain", status=401, headers=headers)
    message = "Only this machine may read the metrics, because no SIMSEARCH_METRICS_TOKEN is set.\n"
    return HttpResponse(message, "text/plain", status=403)


def is_operator(request: HttpRequest) -> bool:
    """Tell whether this client may see the details of the installation."""
    if token := settings.SIMSEARCH_METRICS_TOKEN:
        is_scraper = constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}")
    elif any(name in request.headers for name in PROXY_HEADERS):
        is_scraper = False  # behind a proxy on this machine every client seems to be local
    else:
        is_scraper = _is_loopback(request.META.get("REMOTE_ADDR", ""))
    return is_scraper or request.user.is_staff


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:  # a socket has no address
        return False
