"""Accept a search: check the picture, keep its bytes, insert the row, wake a worker."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError
from django.utils import timezone

from gallery import files
from gallery.errors import Refusal
from gallery.models import Image, Query
from gallery.operations import counters
from gallery.queries import uploads, waiting, wakeup
from gallery.timings import Stopwatch, in_ms


@dataclass(frozen=True)
class Parameters:
    """How many matches, of which labels, of which part of the picture, with near-duplicates as one match or not."""

    k: int = 10
    labels: tuple[str, ...] = ()
    crop: tuple[float, float, float, float] | None = None
    collapse: bool = True


def store(file: "UploadedFile[Any]", parameters: Parameters, received: Stopwatch, client: str | None = None) -> Query:
    """Keep a picture of `client` (see `throttle.hashed`) that its header allows as a waiting query. Raises Refusal."""
    uploads.check(file)
    received.end("check")
    query = _new(parameters, received, has_picture=True, client=client)
    uploads.store(file, query.upload_file)
    try:
        _save(query, received)
    except BaseException:
        files.remove(query.upload_file)
        raise
    return query


def store_like(image: Image, parameters: Parameters, received: Stopwatch) -> Query:
    """Keep "more like this gallery picture" as a waiting query. Raises Refusal `busy` or `not_found`."""
    query = _new(parameters, received, has_picture=False, like=image)
    try:
        _save(query, received)
    except IntegrityError as error:  # deleted since it was looked up
        raise Refusal("not_found", "That gallery picture has been removed; choose another one.") from error
    return query


def _new(parameters: Parameters, received: Stopwatch, **fields: Any) -> Query:
    if waiting.cached().waiting >= settings.SIMSEARCH_MAX_WAITING:
        raise Refusal("busy", "Too many pictures are waiting; try again in a moment.", retry_after_s=5)
    return Query(
        k=parameters.k,
        labels=Image.objects.all_spelled(parameters.labels),
        crop=list(parameters.crop) if parameters.crop else None,
        collapse=parameters.collapse,
        created_at=received.started_at,
        **fields,
    )


def _save(query: Query, received: Stopwatch) -> None:
    """Insert the row and wake a worker. Both are over only after the row is written, so they are counted apart."""
    received.end("keep")
    query.waiting_since = timezone.now()
    query.accept_ms, query.accept_stages_ms = in_ms(query.waiting_since - query.created_at), received.ms
    with counters.STAGE_SECONDS.labels("commit").time():
        query.save(force_insert=True)
    with counters.STAGE_SECONDS.labels("wake").time():
        wakeup.wake_unless_pending(wakeup.ANSWER)
