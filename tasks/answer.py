"""claim -> decode -> embed -> search -> finish, for all waiting queries that fit into one batch."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import torch
from PIL.Image import Image as Picture

from engine.errors import BadImage
from engine.images import decoding
from engine.images.headers import Crop
from engine.networks.embedder import Embedder
from gallery import files
from gallery.curation import pictures
from gallery.models import Embedding, Query
from gallery.queries import lifecycle, waiting, wakeup
from gallery.queries.lifecycle import Claim
from gallery.queries.results import Answers, Found, Searched
from gallery.timings import Stopwatch
from tasks.batch import Batch
from tasks.delta import Vectors, to_vectors
from tasks.neighbours import SearchRequest
from tasks.worker import Worker

logger = logging.getLogger(__name__)


def answer_waiting(worker: Worker, batch: int) -> list[UUID]:
    """Answer up to `batch` waiting queries in one forward pass; returns those that it took on."""
    stages = Stopwatch()
    claim = lifecycle.claim(batch)
    if not claim.queries:
        return []
    if len(claim.queries) == batch:  # there may be more: for another process, while this one is busy
        wakeup.wake_unless_pending(wakeup.ANSWER)
    stages.end("claim")
    report = Batch(worker, len(claim.queries), stages)
    try:
        _answer(worker, claim, report)
    except Exception as error:
        lifecycle.give_back(claim.token)
        _remove_withdrawn(claim.queries)
        report.broke(error)
        raise
    finally:
        # The rest must not depend on wake-up messages of its own: Redis may have lost them.
        if waiting.count():
            wakeup.wake_unless_pending(wakeup.ANSWER)
    return [query.pk for query in claim.queries]


def _answer(worker: Worker, claim: Claim, report: Batch) -> None:
    prepared = _prepare(worker, claim, report)
    report.stages.end("decode")
    vectors = _embed(worker, prepared)
    report.stages.end("embed")
    asked = list(prepared)
    worker.neighbours.refresh()
    found = worker.neighbours.search(vectors, [_request(worker, query) for query in asked])
    report.stages.end("search")
    searched = Searched(
        images=worker.neighbours.images,
        network=worker.embedder.network,
        generation=worker.neighbours.generation,
        stages_ms=dict(report.stages.ms),
    )
    done = lifecycle.finish(claim.token, _with_bands(worker, asked, found), searched)
    report.stages.end("finish")
    if done < len(asked):
        _remove_withdrawn(asked)
    report.answered(done, asked)


def _with_bands(worker: Worker, asked: Sequence[Query], found: Sequence[Sequence[Found]]) -> Answers:
    """Return the matches of each query, with what their cosines mean."""
    band = worker.thresholds.band
    return {
        query: [replace(match, band=band(match.similarity)) for match in matches]
        for query, matches in zip(asked, found, strict=True)
    }


def _remove_withdrawn(claimed: Sequence[Query]) -> None:
    """Delete the pictures of queries that were deleted while they were answered."""
    there = set(Query.objects.filter(pk__in=[query.pk for query in claimed]).values_list("pk", flat=True))
    for query in claimed:
        if query.pk not in there:
            files.remove(query.picture_path, query.upload_path)


def _request(worker: Worker, query: Query) -> SearchRequest:
    # Whoever wants more like a gallery picture is looking at it.
    without = None if query.has_picture else query.like_id
    rule = worker.near_duplicates if query.collapse else None
    return SearchRequest(query.k, tuple(query.labels), without, rule)


# --- From a query to what the network takes -----------------------------------------------------------------

Prepared = torch.Tensor | Vectors  # a picture for the network, or an embedding that is there already


def _prepare(worker: Worker, claim: Claim, report: Batch) -> dict[Query, Prepared]:
    """Decode every picture of the batch; a bad one fails alone and is left out."""
    prepared: dict[Query, Prepared] = {}
    for query, result in zip(claim.queries, _decode_all(worker, claim.queries), strict=True):
        if isinstance(result, BadImage):
            report.failed[result.code] += lifecycle.fail(claim.token, query, result.code, str(result))
        else:
            prepared[query] = result
    return prepared


def _known(network: str, asked: Sequence[Query]) -> dict[UUID | None, Vectors]:
    """Return the embeddings of the gallery pictures that "more like this" asks about, by their ids."""
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
    """Return what the network sees of the query's picture. Raises BadImage."""
    if query.has_picture:
        picture = _uploaded(query)
    elif query.like is None:
        raise BadImage("gone", "That gallery picture has been removed; choose another one.")
    elif not query.crop:
        return embedder.read(_read(query.like.picture_path))
    else:
        picture = decoding.decode(_read(query.like.picture_path))
    return embedder.prepare(decoding.crop(picture, Crop(*query.crop)) if query.crop else picture)


def _uploaded(query: Query) -> Picture:
    """Decode the uploaded bytes once and keep the picture in their place; a later attempt reads that."""
    if not query.upload_path.exists():
        return pictures.decode(_read(query.picture_path))
    picture = pictures.decode(_read(query.upload_path))
    try:
        files.write(query.picture_path, pictures.encode(picture))
    except OSError as error:  # a full disk: the result is worth more than its picture, and the upload stays
        logger.warning("the picture of a query was not kept: %s", error)
    else:
        files.remove(query.upload_path)
    return picture


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImage("gone", "The picture is no longer on the server; upload it again.") from error


def _embed(worker: Worker, prepared: dict[Query, Prepared]) -> Vectors:
    pictures = [item for item in prepared.values() if isinstance(item, torch.Tensor)]
    fresh = iter(worker.embedder.embed_prepared(pictures))
    vectors = [next(fresh) if isinstance(item, torch.Tensor) else item for item in prepared.values()]
    return np.stack(vectors) if vectors else worker.embedder.embed_prepared([])
