"""claim -> decode -> embed -> search -> finish, for all waiting queries that fit into one batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import torch
from celery import shared_task
from django.conf import settings

from engine.errors import BadImage
from engine.images import Crop
from engine.networks.embedder import Embedder
from gallery import doorbell, queries, waiting
from gallery.answers import Searched
from gallery.models import Embedding, Query
from gallery.persistence import AWAY
from gallery.queries import Claim
from gallery.spans import Stopwatch
from tasks import worker as workers
from tasks.batch import Batch
from tasks.delta import Vectors, to_vectors
from tasks.neighbours import SearchRequest
from tasks.worker import Worker


@shared_task(name=doorbell.ANSWER, time_limit=settings.SIMSEARCH_ANSWER_LIMIT_S, throws=AWAY)
def answer() -> int:
    """The doorbell rang: answer one batch. The result, seen in Flower, is its size."""
    doorbell.heard(doorbell.ANSWER)
    worker = workers.current()
    return answer_waiting(worker, worker.embedder.batch)


def answer_waiting(worker: Worker, batch: int) -> int:
    """Answer up to `batch` waiting queries in one forward pass; returns how many it took on."""
    stages = Stopwatch()
    claim = queries.claim(batch)
    if not claim.queries:
        return 0
    if len(claim.queries) == batch:  # there may be more: for another process, while this one is busy
        doorbell.ring_unless_pending(doorbell.ANSWER)
    stages.end("claim")
    told = Batch(worker, len(claim.queries), stages)
    try:
        _answer(worker, claim, told)
    except Exception as error:
        queries.give_back(claim.token)
        told.broke(error)
        raise
    finally:
        # The rest must not depend on its own doorbells: Redis may have lost them.
        if waiting.count():
            doorbell.ring_unless_pending(doorbell.ANSWER)
    return len(claim.queries)


def _answer(worker: Worker, claim: Claim, told: Batch) -> None:
    prepared = _prepare(worker, claim, told)
    told.stages.end("decode")
    vectors = _embed(worker, prepared)
    told.stages.end("embed")
    asked = list(prepared)
    worker.neighbours.refresh()
    found = worker.neighbours.search(vectors, [_request(worker, query) for query in asked])
    told.stages.end("search")
    searched = Searched(
        images=worker.neighbours.images,
        network=worker.embedder.network,
        generation=worker.neighbours.generation,
        stages_ms=dict(told.stages.ms),
    )
    done = queries.finish(claim.token, dict(zip(asked, found, strict=True)), searched)
    told.stages.end("finish")
    told.answered(done, asked)


def _request(worker: Worker, query: Query) -> SearchRequest:
    # Whoever wants more like a gallery picture is looking at it.
    without = None if query.has_picture else query.like_id
    rule = worker.near_duplicates if query.collapse else None
    return SearchRequest(query.k, tuple(query.labels), without, rule)


# --- From a query to what the network takes -----------------------------------------------------------------

Prepared = torch.Tensor | Vectors  # a picture for the network, or an embedding that is there already


def _prepare(worker: Worker, claim: Claim, told: Batch) -> dict[Query, Prepared]:
    """Decode every picture of the batch; a bad one fails alone and is left out."""
    prepared: dict[Query, Prepared] = {}
    for query, result in zip(claim.queries, _decode_all(worker, claim.queries), strict=True):
        if isinstance(result, BadImage):
            told.failed[result.code] += queries.fail(claim.token, query, result.code, str(result))
        else:
            prepared[query] = result
    return prepared


def _known(network: str, asked: Sequence[Query]) -> dict[UUID | None, Vectors]:
    """The embeddings of the gallery pictures that "more like this" asks about, by their ids."""
    like = {query.like_id for query in asked if query.like_id and not query.crop}
    if not like:
        return {}
    rows = list(Embedding.objects.filter(network=network, image__id__in=like).values_list("image__id", "vector"))
    vectors = to_vectors([blob for _, blob in rows])
    return {image: vectors[n] for n, (image, _) in enumerate(rows)}


def _decode_all(worker: Worker, asked: Sequence[Query]) -> Iterator[Prepared | BadImage]:
    known = _known(worker.embedder.network, asked)

    def decode(query: Query) -> Prepared | BadImage:
        if query.like_id in known and not query.crop:
            return known[query.like_id]
        try:
            return _decode(worker.embedder, query)
        except BadImage as error:
            return error

    return worker.decode(decode, asked)


def _decode(embedder: Embedder, query: Query) -> torch.Tensor:
    return embedder.read(_read(query), None if query.crop is None else Crop(*query.crop))


def _read(query: Query) -> bytes:
    try:
        return _path(query).read_bytes()
    except OSError as error:
        raise BadImage("gone", "The picture is no longer on the server; upload it again.") from error


def _path(query: Query) -> Path:
    if query.has_picture:
        return query.picture_path
    if query.like is None:
        raise BadImage("gone", "That gallery picture has been removed; choose another one.")
    return query.like.picture_path


def _embed(worker: Worker, prepared: dict[Query, Prepared]) -> Vectors:
    pictures = [item for item in prepared.values() if isinstance(item, torch.Tensor)]
    fresh = iter(worker.embedder.embed_prepared(pictures))
    vectors = [next(fresh) if isinstance(item, torch.Tensor) else item for item in prepared.values()]
    return np.stack(vectors) if vectors else worker.embedder.embed_prepared([])
