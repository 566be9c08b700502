"""From a request to a waiting query, for the site and the API alike."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError
from django.http import HttpRequest
from django.utils import timezone

from gallery import counters, files, throttle, uploads, waiting, wakeup
from gallery.errors import OUTCOME, Refusal
from gallery.middleware import RECEIVED
from gallery.models import Image, Query
from gallery.spans import Stopwatch, in_ms


@dataclass(frozen=True)
class Parameters:
    """How many matches, of which labels, of which part of the picture, with near-duplicates as one match or not."""

    k: int = 10
    labels: tuple[str, ...] = ()
    crop: tuple[float, float, float, float] | None = None
    collapse: bool = True


def upload(request: HttpRequest, file: "UploadedFile[Any]", parameters: Parameters) -> Query:
    """Raises Refusal with one of the upload codes, `throttled`, `busy` or `no_space`."""
    received = _admit(request)
    client = throttle.hashed(_client(request))
    try:
        query = store(file, parameters, received, client)
    except Refusal as refusal:
        if refusal.code == "too_costly":
            throttle.count_costly(client)
        raise
    request.META[OUTCOME] = "accepted"
    return query


def more_like(request: HttpRequest, image: Image, parameters: Parameters) -> Query:
    """Raises Refusal `throttled`, `busy` or `not_found`."""
    query = store_like(image, parameters, _admit(request))
    request.META[OUTCOME] = "accepted"
    return query


def store(file: "UploadedFile[Any]", parameters: Parameters, received: Stopwatch, client: str = "") -> Query:
    """Keep a picture that its header allows as a waiting query. Raises Refusal."""
    uploads.check(file)
    received.end("check")
    query = _new(parameters, received, has_picture=True, client=client)
    uploads.store(file, query.upload_path)
    try:
        _save(query, received)
    except BaseException:
        files.remove(query.upload_path)
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


def _admit(request: HttpRequest) -> Stopwatch:
    """Since when it takes how long. Raises Refusal `throttled` or `no_space`."""
    received: Stopwatch = request.META[RECEIVED]
    uploads.check_space(request)
    received.end("parse")
    throttle.check(_client(request))
    received.end("throttle")
    return received


def _client(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _new(parameters: Parameters, received: Stopwatch, **fields: Any) -> Query:
    if waiting.cached().waiting >= settings.SIMSEARCH_MAX_WAITING:
        raise Refusal("busy", "Too many pictures are waiting; try again in a moment.", retry_after_s=5)
    return Query(
        k=parameters.k,
        labels=list(parameters.labels),
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
