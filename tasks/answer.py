"""claim -> decode -> embed -> search -> finish, for all waiting queries that fit into one batch."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import torch

from engine.decoders.pool import DECODERS, Decoded, TakesLong
from engine.errors import BadImage
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
        lifecycle.remove_withdrawn(claim.queries)
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
        lifecycle.remove_withdrawn(asked)
    report.answered(done, asked)


def _with_bands(worker: Worker, asked: Sequence[Query], found: Sequence[Sequence[Found]]) -> Answers:
    """Return the matches of each query, with what their cosines mean."""
    band = worker.thresholds.band
    return {
        query: [replace(match, band=band(match.similarity)) for match in matches]
        for query, matches in zip(asked, found, strict=True)
    }


def _request(worker: Worker, query: Query) -> SearchRequest:
    # Whoever wants more like a gallery picture is looking at it.
    without = None if query.has_picture else query.like_id
    rule = worker.near_duplicates if query.collapse else None
    return SearchRequest(query.k, tuple(query.labels), without, rule)


# --- From a query to what the network takes -----------------------------------------------------------------

Prepared = torch.Tensor | Vectors  # a picture for the network, or an embedding that is there already


def _prepare(worker: Worker, claim: Claim, report: Batch) -> dict[Query, Prepared]:
    """Decode every picture of the batch; left out are bad ones, which fail alone, and slow ones, which come later."""
    prepared: dict[Query, Prepared] = {}
    for query, result in zip(claim.queries, _decode_all(worker, claim.queries), strict=True):
        if isinstance(result, TakesLong):
            worker.slow.add(claim.token, query)
        elif isinstance(result, BadImage):
            report.failed[result.code] += lifecycle.fail(claim.token, query, result.code, str(result))
        else:
            prepared[query] = result
    if incomplete := [query for query in prepared if query.is_incomplete]:
        lifecycle.mark_incomplete(claim.token, incomplete)
    return prepared


def _known(network: str, asked: Sequence[Query]) -> dict[UUID | None, Vectors]:
    """Return the embeddings of the gallery pictures that "more like this" asks about, by their ids."""
    like = {query.like_id for query in asked if query.like_id and not query.crop}
    if not like:
        return {}
    rows = list(Embedding.objects.filter(network=network, image__id__in=like).values_list("image__id", "vector"))
    vectors = to_vectors([blob for _, blob in rows])
    return {image: vectors[n] for n, (image, _) in enumerate(rows)}


def _decode_all(worker: Worker, asked: Sequence[Query]) -> Iterator[Prepared | BadImage | TakesLong]:
    known = _known(worker.embedder.network, asked)

    def decode(query: Query) -> Prepared | BadImage | TakesLong:
        if query.like_id in known and not query.crop:
            return known[query.like_id]
        try:
            return _decode(worker, query)
        except (BadImage, TakesLong) as error:
            return error

    return worker.decode(decode, asked)


def _decode(worker: Worker, query: Query) -> torch.Tensor:
    """Return what the network sees of the query's picture. Raises BadImage and TakesLong."""
    try:
        decoded = _decoded(worker, query)
    except files.StorageAway:  # the batch is tried again
        raise
    except OSError as error:
        raise BadImage("gone", "The picture is no longer on the server; upload it again.") from error
    return worker.embedder.prepare_decoded(decoded.pixels)


def _decoded(worker: Worker, query: Query) -> Decoded:
    """Have its picture decoded. Raises OSError where the file is gone, BadImage, and TakesLong."""
    if query.has_picture and query.upload_file.exists():
        return _uploaded(worker, query)
    embedder = worker.embedder
    if query.has_picture:
        return DECODERS.decode(query.picture_file.source(), pictures.request(crop=query.crop, square=embedder.square))
    if query.like is None:
        raise BadImage("gone", "That gallery picture has been removed; choose another one.")
    wanted = {"crop": query.crop} if query.crop else {"within_px": None, "at_least_px": embedder.at_least_px}
    return DECODERS.decode(query.like.picture_file.source(), pictures.request(square=embedder.square, **wanted))


def _uploaded(worker: Worker, query: Query) -> Decoded:
    """Decode the uploaded bytes once and keep the picture in their place; a later attempt reads that."""
    wanted = pictures.request(jpegs=(pictures.KEPT,), crop=query.crop, square=worker.embedder.square)
    # A later attempt comes alone, so nobody waits for it.
    decoded = DECODERS.decode(
        query.upload_file.source(), wanted, worker.slow.patience_s if query.attempts == 1 else None
    )
    query.is_incomplete = decoded.is_incomplete
    try:
        files.write(query.picture_file, *decoded.jpegs)
    except OSError as error:  # a full disk: the result is worth more than its picture, and the upload stays
        logger.warning("the picture of a query was not kept: %s", error)
    else:
        files.remove(query.upload_file)
    return decoded


def _embed(worker: Worker, prepared: dict[Query, Prepared]) -> Vectors:
    pictures = [item for item in prepared.values() if isinstance(item, torch.Tensor)]
    fresh = iter(worker.embedder.embed_prepared(pictures))
    vectors = [next(fresh) if isinstance(item, torch.Tensor) else item for item in prepared.values()]
    return np.stack(vectors) if vectors else worker.embedder.embed_prepared([])
