"""claim -> decode -> embed -> search -> finish, for all waiting queries that fit into one batch."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import torch
from django.conf import settings

from engine.decoders.pool import DECODERS, Decoded, TakesLong
from engine.errors import BadImage, IndexAway
from gallery import files
from gallery.curation import pictures
from gallery.models import Embedding, Query
from gallery.operations import counters
from gallery.queries import lifecycle, waiting, wakeup
from gallery.queries.lifecycle import Claim
from gallery.queries.results import Answers, Found, Searched
from gallery.timings import Stopwatch
from tasks.delta import Vectors, to_vectors
from tasks.neighbours import SearchRequest
from tasks.worker import Worker

logger = logging.getLogger(__name__)

PAUSE_S = 0.5  # before an index that is away is asked again


def answer_waiting(worker: Worker, batch: int) -> list[UUID]:
    """Answer up to `batch` waiting queries in one forward pass; returns those that it took on.

    Raises IndexAway while the server of the index does not answer: the queries wait, and the sweep comes again.
    """
    worker.neighbours.require()
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
        if isinstance(error, IndexAway):
            lifecycle.postpone(claim.token)
        else:
            lifecycle.give_back(claim.token)
        lifecycle.remove_withdrawn(claim.queries)
        report.broke(error)
        raise
    finally:
        # The rest must not depend on wake-up messages of its own: Redis may have lost them.
        if waiting.count():
            wakeup.wake_unless_pending(wakeup.ANSWER)
    return [query.pk for query in claim.queries]


def _answer(worker: Worker, claim: Claim, report: "Batch") -> None:
    prepared = _prepare(worker, claim, report)
    report.stages.end("decode")
    vectors = _embed(worker, prepared)
    report.stages.end("embed")
    queries = list(prepared)
    found = _search(worker, vectors, [_request(worker, query) for query in queries])
    report.stages.end("search")
    searched = Searched(
        images=worker.neighbours.images,
        network=worker.embedder.network,
        generation=worker.neighbours.generation,
        stages_ms=dict(report.stages.ms),
    )
    done = lifecycle.finish(claim.token, _with_bands(worker, queries, found), searched)
    report.stages.end("finish")
    if done < len(queries):
        lifecycle.remove_withdrawn(queries)
    report.answered(done, queries)


def _search(worker: Worker, vectors: Vectors, requests: Sequence[SearchRequest]) -> list[list[Found]]:
    """Search; again while the server of the index is away, for a third of the run's time. Raises IndexAway."""
    deadline = time.monotonic() + settings.SIMSEARCH_ANSWER_LIMIT_S / 3
    while True:
        worker.neighbours.refresh()
        try:
            return worker.neighbours.search(vectors, requests)
        except IndexAway:
            if time.monotonic() + PAUSE_S > deadline:
                raise
        time.sleep(PAUSE_S)


def _with_bands(worker: Worker, queries: Sequence[Query], found: Sequence[Sequence[Found]]) -> Answers:
    """Return the matches of each query, with what their cosines mean."""
    band = worker.thresholds.band
    return {
        query: [replace(match, band=band(match.similarity)) for match in matches]
        for query, matches in zip(queries, found, strict=True)
    }


def _request(worker: Worker, query: Query) -> SearchRequest:
    # The visitor sees that gallery picture already.
    without = None if query.has_picture else query.like_id
    rule = worker.near_duplicates if query.collapse else None
    return SearchRequest(query.k, tuple(query.labels), without, rule)


# --- From a query to what the network takes -----------------------------------------------------------------

Prepared = torch.Tensor | Vectors  # a picture for the network, or an embedding that is there already


def _prepare(worker: Worker, claim: Claim, report: "Batch") -> dict[Query, Prepared]:
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


def _known(network: str, queries: Sequence[Query]) -> dict[UUID | None, Vectors]:
    """Return the embeddings of the gallery pictures that "more like this" asks about, by their ids."""
    like = {query.like_id for query in queries if query.like_id and not query.crop}
    if not like:
        return {}
    rows = list(Embedding.objects.filter(network=network, image__id__in=like).values_list("image__id", "vector"))
    vectors = to_vectors([blob for _, blob in rows])
    return {image: vectors[n] for n, (image, _) in enumerate(rows)}


def _decode_all(worker: Worker, queries: Sequence[Query]) -> Iterator[Prepared | BadImage | TakesLong]:
    known = _known(worker.embedder.network, queries)

    def decode(query: Query) -> Prepared | BadImage | TakesLong:
        if query.like_id in known and not query.crop:
            return known[query.like_id]
        try:
            return _decode(worker, query)
        except (BadImage, TakesLong) as error:
            return error

    return worker.decode(decode, queries)


def _decode(worker: Worker, query: Query) -> torch.Tensor:
    """Return what the network sees of the query's picture. Raises BadImage and TakesLong."""
    try:
        decoded = _decoded(worker, query)
    except OSError as error:
        raise BadImage("gone", "The picture is no longer on the server; upload it again.") from error
    return worker.embedder.prepare_decoded(decoded.pixels)


def _decoded(worker: Worker, query: Query) -> Decoded:
    """Have its picture decoded. Raises OSError where the file is gone, BadImage, and TakesLong."""
    if query.has_picture and query.upload_path.exists():
        return _uploaded(worker, query)
    embedder = worker.embedder
    if query.has_picture:
        return DECODERS.decode(query.picture_path, pictures.request(crop=query.crop, square=embedder.square))
    if query.like is None:
        raise BadImage("gone", "That gallery picture has been removed; choose another one.")
    if query.crop:
        within_px = pictures.within_for_crop(query.like, query.crop, embedder.at_least_px)
        wanted = pictures.request(within_px=within_px, crop=query.crop, square=embedder.square)
        return DECODERS.decode(query.like.picture_path, wanted)
    wanted = pictures.request(within_px=None, at_least_px=embedder.at_least_px, square=embedder.square)
    return DECODERS.decode(query.like.shown_path, wanted)


def _uploaded(worker: Worker, query: Query) -> Decoded:
    """Decode the uploaded bytes once and keep the picture in their place; a later attempt reads that."""
    wanted = pictures.request(jpegs=(pictures.KEPT,), crop=query.crop, square=worker.embedder.square)
    # A later attempt comes alone, so no other query waits for it.
    decoded = DECODERS.decode(query.upload_path, wanted, worker.slow.patience_s if query.attempts == 1 else None)
    query.is_incomplete = decoded.is_incomplete
    try:
        files.write(query.picture_path, *decoded.jpegs)
    except OSError as error:  # a full disk: the result is worth more than its picture, and the upload stays
        logger.warning("the picture of a query was not kept: %s", error)
    else:
        files.remove(query.upload_path)
    return decoded


def _embed(worker: Worker, prepared: dict[Query, Prepared]) -> Vectors:
    pictures = [item for item in prepared.values() if isinstance(item, torch.Tensor)]
    fresh = iter(worker.embedder.embed_prepared(pictures))
    vectors = [next(fresh) if isinstance(item, torch.Tensor) else item for item in prepared.values()]
    return np.stack(vectors) if vectors else worker.embedder.embed_prepared([])


# --- Counts for /metrics, and one line in the log ---------------------------------------------------------------


@dataclass
class Batch:
    """How many queries a batch claimed, how long each of its stages took, what became of them."""

    worker: Worker
    size: int
    stages: Stopwatch
    failed: Counter[str] = field(default_factory=Counter)  # by code

    def answered(self, done: int, queries: Iterable[Query]) -> None:
        """Record the end of a batch with `done` answers, and the total times of those of `queries` that it owned."""
        counters.BATCH_SIZE.observe(self.size)
        for stage, ms in self.stages.ms.items():
            counters.STAGE_SECONDS.labels(stage).observe(ms / 1000)
        timings_ms = [query.timings_ms for query in queries if "total" in query.timings_ms]
        for stage in counters.STAGES_OF_QUERY:
            seconds = counters.STAGE_SECONDS.labels(stage)
            for timings in timings_ms:
                seconds.observe(timings[stage] / 1000)
        self._log(done=done)

    def broke(self, error: Exception) -> None:
        """Record a batch that ended in an exception; Celery logs its traceback."""
        counters.BATCH_SIZE.observe(self.size)
        counters.BROKEN_BATCHES.inc()
        self._log(done=0, exception=type(error).__name__)

    def _log(self, done: int, exception: str = "") -> None:
        device, generation = self.worker.embedder.device, self.worker.neighbours.generation
        ended = exception or f"{done} done" + "".join(f", {count} {code}" for code, count in self.failed.items())
        stages = " ".join(f"{stage} {ms} ms" for stage, ms in self.stages.ms.items())
        fields = {"size": self.size, "done": done, "failed": dict(self.failed), "ms": self.stages.ms}
        fields |= {"event": "batch", "device": device, "generation": generation}
        logger.log(
            logging.ERROR if exception else logging.INFO,
            "batch of %d: %s; %s; %s, generation %s",
            self.size,
            ended,
            stages,
            device,
            generation,
            extra=fields | ({"exception": exception} if exception else {}),
        )
