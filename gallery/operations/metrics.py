"""Prometheus text, read at each scrape from the database, Redis and the counters of all processes."""

import ipaddress
from collections.abc import Iterator

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

from gallery.curation import generations, recall
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
        yield self._queries()
        yield _gauge("simsearch_oldest_waiting_seconds", "Age of the oldest waiting query", waiting.oldest_s())
        yield self._images()
        yield from self._insight()
        yield _gauge("simsearch_embeddings", "Stored embeddings", Embedding.objects.count())
        if active:
            yield from self._index(active)
        yield from counters.totals()
        try:
            if active:
                yield from self._live_recall(active)
            yield from self._workers(active)
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

    def _insight(self) -> Iterator[Metric]:
        yield _gauge("simsearch_weak_queries", "Answered queries kept whose best match is weak", figures.weak().count())
        metric = GaugeMetricFamily("simsearch_labelled_images", "Visible pictures, by label", labels=["label"])
        for label, count in figures.labels()[:LABELS]:
            metric.add_metric([label], count)
        yield metric
        disk = figures.disk()
        yield _gauge("simsearch_disk_free_bytes", "Room on the disk of the pictures", disk.free_bytes)
        yield _gauge("simsearch_disk_bytes", "Size of the disk of the pictures", disk.total_bytes)

    def _index(self, active: IndexGeneration) -> Iterator[Metric]:
        yield _gauge("simsearch_index_generation", "Number of the active index generation", active.number)
        yield _gauge("simsearch_index_images", "Pictures in the active index generation", active.images)
        newer = generations.newer_than(active, active.network)
        yield _gauge("simsearch_index_newer_embeddings", "Embeddings that came after it", newer)
        age_s = (timezone.now() - active.created_at).total_seconds()
        yield _gauge("simsearch_index_age_seconds", "Age of the active index generation", age_s)
        measured, target = active.manifest.get("recall"), active.manifest.get("recall_target")
        if measured is not None:
            yield _gauge("simsearch_index_recall", "Recall@10 measured when it was built", measured)
        if measured is not None and target is not None:
            yield _gauge("simsearch_index_recall_target", "Target of recall@10", target)
            yield _gauge("simsearch_index_meets_target", "1 when it reaches that", measured >= target)

    def _live_recall(self, active: IndexGeneration) -> Iterator[Metric]:
        live = recall.measured(active.number)
        if live is not None:
            yield _gauge("simsearch_live_recall", "Recall@10 of a sample of real searches", live)

    def _workers(self, active: IndexGeneration | None) -> Iterator[Metric]:
        alive = workers.alive()
        metric = GaugeMetricFamily("simsearch_workers", "Search workers alive", labels=["device", "model"])
        for device, model in sorted({(entry.device, entry.model) for entry in alive}):
            metric.add_metric([device, model], sum((e.device, e.model) == (device, model) for e in alive))
        yield metric
        moving = float(workers.is_moving(alive))
        yield _gauge("simsearch_queue_moving", "1 when a search worker took a sweep off its queue lately", moving)
        problems = len(workers.index_problems(alive, active.number if active else None))
        yield _gauge("simsearch_index_problem_workers", "Search workers that do not use the active index", problems)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


REGISTRY = CollectorRegistry()
REGISTRY.register(SystemCollector())


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to the staff and to clients with SIMSEARCH_METRICS_TOKEN (unset: to this machine)."""
    if not is_operator(request):
        return _refuse()
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def is_operator(request: HttpRequest) -> bool:
    """Tell whether this client may see the details of the installation."""
    return _is_scraper(request) or request.user.is_staff


def _is_scraper(request: HttpRequest) -> bool:
    token = settings.SIMSEARCH_METRICS_TOKEN
    if token:
        return constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}")
    # Behind a proxy on this machine every client seems to be local.
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and not any(
        name in request.headers for name in PROXY_HEADERS
    )


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:  # a socket has no address
        return False


def _refuse() -> HttpResponse:
    if settings.SIMSEARCH_METRICS_TOKEN:
        headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return HttpResponse("Send the metrics token.\n", "text/plain", status=401, headers=headers)
    message = "Only this machine may ask, because no SIMSEARCH_METRICS_TOKEN is set.\n"
    return HttpResponse(message, "text/plain", status=403)
