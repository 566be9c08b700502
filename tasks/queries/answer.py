"""Answer waiting queries in batches: claim, decode, embed, search, finish."""

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
from engine.index import feedback
from engine.index.ranking import Vectors
from engine.networks.registry import EMBEDDING_SIZE
from gallery.curation import pictures
from gallery.models import Embedding, Query, QueryPart
from gallery.operations import counters
from gallery.queries import lifecycle, throttle, waiting, wakeup
from gallery.queries.lifecycle import Claim, Found, Searched
from gallery.storage import files
from gallery.timings import Stopwatch
from tasks.search.delta import to_vectors
from tasks.search.neighbours import SearchRequest
from tasks.worker import Worker

logger = logging.getLogger(__name__)

PAUSE_S = 0.5  # before the next try to search an index whose server is away
ROUND_S = 0.25  # how long one task goes on; the sweep, every 3 s, waits behind a few such tasks

Crop = list[float] | None


def answer_round(worker: Worker, batch: int, seconds: float = ROUND_S) -> list[list[UUID]]:
    """Answer batches until no query waits or ROUND_S is over; returns the queries of each.

    One message for many batches: each costs a Celery parent and Flower some milliseconds. Raises as `answer_waiting`.
    """
    wakeup.clear_pending(wakeup.ANSWER)
    deadline, batches = time.monotonic() + seconds, list[list[UUID]]()
    try:
        while answered := answer_waiting(worker, batch):
            batches.append(answered)
            if time.monotonic() > deadline:
                _wake_for_the_rest()
                break
    except (IndexAway, files.StorageAway):
        raise
    except Exception:
        _wake_for_the_rest()
        raise
    return batches


def _wake_for_the_rest() -> None:
    """Send a message for waiting queries whose message Redis may have lost."""
    if waiting.count():
        wakeup.wake_unless_pending(wakeup.ANSWER)


def answer_waiting(worker: Worker, batch: int) -> list[UUID]:
    """Answer up to `batch` waiting queries in one forward pass; returns those that it took on.

    Raises IndexAway or files.StorageAway while the server of the index or of the pictures does not answer: the queries
    wait, and the sweep comes again.
    """
    worker.neighbours.require()
    stages = Stopwatch()
    claim = lifecycle.claim(batch)
    if not claim.queries:
        return []
    if len(claim.queries) == batch:  # another process may answer the rest while this one is busy
        wakeup.wake_unless_pending(wakeup.ANSWER)
    stages.end("claim")
    report = Batch(worker, len(claim.queries), stages)
    try:
        _answer(worker, claim, report)
    except Exception as error:
        if isinstance(error, IndexAway | files.StorageAway):
            lifecycle.requeue_uncounted(claim.token)
        else:
            lifecycle.requeue(claim.token)
        lifecycle.remove_withdrawn(claim.queries)
        report.broke(error)
        raise
    return [query.pk for query in claim.queries]


def _answer(worker: Worker, claim: Claim, report: "Batch") -> None:
    prepared = _prepare(worker, claim, report)
    report.stages.end("decode")
    vectors = _embed(worker, prepared)
    report.stages.end("embed")
    queries = list(prepared)
    rule = worker.near_duplicates
    requests = [
        # The visitor already knows a gallery picture that the search names, or does not want it.
        SearchRequest(query.k, tuple(query.labels), query.gallery_ids, rule if query.collapse else None)
        for query in queries
    ]
    found = _search(worker, vectors, requests)
    report.stages.end("search")
    searched = Searched(
        images=worker.neighbours.images,
        model_id=worker.embedder.model_id,
        generation=worker.neighbours.generation,
        stages_ms=dict(report.stages.ms),
    )
    band = worker.thresholds.band
    answers = {
        query: [replace(match, band=band(match.similarity)) for match in matches]
        for query, matches in zip(queries, found, strict=True)
    }
    done = lifecycle.finish(claim.token, answers, searched)
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


# --- From a query to the input of the model -----------------------------------------------------------------

Prepared = torch.Tensor | Vectors  # a picture for the model, or a stored embedding
Known = dict[UUID | None, Vectors]


class NotFetched(Exception):
    """The query's first picture is a link that has not been fetched yet."""


Outcome = list[Prepared] | BadImage | TakesLong | NotFetched


def _prepare(worker: Worker, claim: Claim, report: "Batch") -> dict[Query, list[Prepared]]:
    """Decode the pictures of the batch.

    Queries with a bad picture fail alone; those with a slow picture, or one to fetch, are answered later.
    """
    prepared: dict[Query, list[Prepared]] = {}
    for query, result in zip(claim.queries, BatchPictures(worker, claim.queries).decode(), strict=True):
        if isinstance(result, NotFetched):
            worker.links.add(claim.token, query)
        elif isinstance(result, TakesLong):
            worker.slow.add(claim.token, query)
        elif isinstance(result, BadImage):
            report.failed[result.code] += lifecycle.fail(claim.token, query, result.code, str(result))
        else:
            prepared[query] = result
    if incomplete := [query for query in prepared if query.is_incomplete]:
        lifecycle.mark_incomplete(claim.token, incomplete)
    return prepared


class BatchPictures:
    """Decodes the pictures of a batch."""

    def __init__(self, worker: Worker, queries: Sequence[Query]) -> None:
        self._worker, self._queries = worker, queries
        self._known = _known(worker.embedder.model_id, queries)
        self._kept: list[files.Stored] = []  # uploads whose picture is stored

    def decode(self) -> Iterator[Outcome]:
        """Decode the pictures of each query, then delete the uploads whose picture is stored."""
        try:
            yield from self._worker.decode(self._of_query, self._queries)
        finally:
            files.remove(*self._kept)  # together, because a bucket takes them in one request

    def _of_query(self, query: Query) -> Outcome:
        try:
            return [self._one(query, row) for row in query.pictures]
        except (BadImage, TakesLong, NotFetched) as error:
            return error

    def _one(self, query: Query, row: Query | QueryPart) -> Prepared:
        """Return one of the query's pictures; of the first one the crop. Raises BadImage, TakesLong, NotFetched."""
        crop = query.crop if row is query else None
        if not row.has_picture and not crop and (vector := self._known.get(row.gallery_id)) is not None:
            return vector
        try:
            decoded = self._uploaded(query, row, crop) if row.has_picture else self._named(row, crop)
        except files.StorageAway:  # the batch is tried again
            raise
        except OSError as error:
            raise BadImage("gone", "The picture is no longer on the server; upload it again.") from error
        return self._worker.embedder.prepare_decoded(decoded.pixels)

    def _named(self, row: Query | QueryPart, crop: Crop) -> Decoded:
        """Decode a gallery picture that is not embedded yet, or a crop of one. Raises BadImage and OSError."""
        image = row.gallery_picture
        if image is None:
            raise BadImage("gone", "That gallery picture has been removed; choose another one.")
        embedder = self._worker.embedder
        if crop:
            within_px = pictures.within_for_crop(image, crop, embedder.at_least_px)
            wanted = pictures.request(within_px=within_px, crop=crop, square=embedder.square)
            return DECODERS.decode(image.picture_file.source(), wanted)
        wanted = pictures.request(within_px=None, at_least_px=embedder.at_least_px, square=embedder.square)
        return DECODERS.decode(image.shown_file.source(), wanted)

    def _uploaded(self, query: Query, row: Query | QueryPart, crop: Crop) -> Decoded:
        """Decode the uploaded bytes once and keep the picture in their place; a later attempt reads that.

        Raises OSError where the file is gone, BadImage, TakesLong, and NotFetched.
        """
        square = self._worker.embedder.square
        source = row.upload_file.source_if_there()
        if source is None:
            if row is query and query.link and not row.picture_file.exists():
                raise NotFetched
            return DECODERS.decode(row.picture_file.source(), pictures.request(crop=crop, square=square))
        wanted = pictures.request(jpegs=(pictures.KEPT,), crop=crop, square=square)
        # A later attempt is claimed alone, so it delays no other query.
        is_first = query.attempts == 1
        decoded = DECODERS.decode(source, wanted, self._worker.slow.patience_s if is_first else None)
        if not is_first:
            throttle.charge(query.client, decoded.cpu_s)
        query.is_incomplete = query.is_incomplete or decoded.is_incomplete
        try:
            files.write(row.picture_file, *decoded.jpegs)
        except OSError as error:  # a full disk: answer without the stored picture; the upload stays
            logger.warning("the picture of a query was not kept: %s", error)
        else:
            self._kept.append(row.upload_file)
        return decoded


def _known(model_id: str, queries: Sequence[Query]) -> Known:
    """Return the embeddings of the gallery pictures that the queries name, by their ids."""
    named = {id_ for query in queries for id_ in query.gallery_ids}
    if not named:
        return {}
    rows = list(Embedding.objects.filter(model_id=model_id, image__id__in=named).values_list("image__id", "vector"))
    vectors = to_vectors([blob for _, blob in rows])
    return {image: vectors[n] for n, (image, _) in enumerate(rows)}


def _embed(worker: Worker, prepared: dict[Query, list[Prepared]]) -> Vectors:
    """Return one vector [4096] for each query, [n, 4096] together, after one forward pass for all their pictures."""
    fresh = iter(
        worker.embedder.embed_prepared(
            [item for items in prepared.values() for item in items if isinstance(item, torch.Tensor)]
        )
    )
    vectors = np.empty((len(prepared), EMBEDDING_SIZE), np.float32)
    for row, (query, items) in enumerate(prepared.items()):
        each = [next(fresh) if isinstance(item, torch.Tensor) else item for item in items]
        if query.has_parts:
            is_negative = np.array([False, *(part.is_negative for part in query.further)])
            vectors[row] = feedback.combined(np.stack(each)[~is_negative], np.stack(each)[is_negative])
        else:
            vectors[row] = each[0]
    return vectors


# --- Counts for /metrics, and one line in the log ---------------------------------------------------------------


@dataclass
class Batch:
    """The record of a batch: queries claimed, time of each stage, results."""

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
