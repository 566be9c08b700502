"""Accept a search: check its pictures, keep their bytes, insert the row, wake a worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from gallery.errors import Refusal, no_space
from gallery.models import Image, Query, QueryPart
from gallery.operations import counters
from gallery.queries import links, uploads, waiting, wakeup
from gallery.storage import files
from gallery.storage.files import Stored
from gallery.timings import Stopwatch, in_ms

MOST_LINKS = 100  # unfinished searches by link: a slow server holds one of few threads of a worker for 10 s
MOST_UPLOADS, MOST_NAMED = 10, 20  # pictures of one search: uploaded; of the gallery, positive or negative


@dataclass(frozen=True)
class Parameters:
    """The parameters of a search: number of matches, labels, crop of the first picture, grouping of near-duplicates."""

    k: int = 10
    labels: tuple[str, ...] = ()
    crop: tuple[float, float, float, float] | None = None
    collapse: bool = True


@dataclass(frozen=True)
class Pictures:
    """The pictures of a search.

    `link`: an address, of the first picture; `files`: uploads; `kept`: encoded pictures of an earlier search, which
    come before them; `like`, `unlike`: gallery pictures.
    """

    link: str = ""
    files: "Sequence[UploadedFile[Any]]" = ()
    kept: Sequence[Stored] = ()
    like: Sequence[Image] = ()
    unlike: Sequence[Image] = ()

    @property
    def uploads(self) -> int:
        """Return how many pictures a worker has to decode and embed."""
        return bool(self.link) + len(self.files) + len(self.kept)

    @property
    def cost(self) -> int:
        """Return how many uploads they count as for the rate limit."""
        return max(1, self.uploads + (links.LINK_COST - 1 if self.link else 0))

    def check(self) -> None:
        """Raise Refusal `invalid` for too many, for no positive one, and for one that is both positive and negative."""
        if not (self.uploads or self.like):
            raise Refusal("invalid", _("Add a picture to look for: with `unlike` alone there is nothing to find."))
        if len(self.files) + len(self.kept) > MOST_UPLOADS:
            raise Refusal("invalid", _("A search takes at most %(most)d uploaded pictures.") % {"most": MOST_UPLOADS})
        if max(len(self.like), len(self.unlike)) > MOST_NAMED:
            raise Refusal(
                "invalid", _("A search takes at most %(most)d pictures of the gallery.") % {"most": MOST_NAMED}
            )
        if {image.pk for image in self.like} & {image.pk for image in self.unlike}:
            raise Refusal("invalid", _("A gallery picture cannot be both `like` and `unlike`; choose one."))


def store(pictures: Pictures, parameters: Parameters, received: Stopwatch, client: str | None = None) -> Query:
    """Store a search of `client` (see `throttle.hashed`) for these pictures as a waiting query. Raises Refusal."""
    pictures.check()
    if pictures.files:
        for file in pictures.files:
            uploads.check(file)
        received.end("check")
    if pictures.link:
        links.check(pictures.link)
    _refuse_when_busy(pictures)
    query, parts = _rows(pictures, parameters)
    query.created_at, query.client = received.started_at, client if pictures.uploads else None
    rows: list[Query | QueryPart] = [query, *parts]
    uploaded = [row for row in rows if row.has_picture]
    try:
        _keep_files(pictures, uploaded)
        _save(query, parts, received)
    except BaseException as error:
        files.remove(*(file for row in uploaded for file in (row.picture_file, row.upload_file)))
        if isinstance(error, IntegrityError):  # deleted since it was read
            raise Refusal("not_found", _("That gallery picture has been removed; choose another one.")) from error
        raise
    return query


def _refuse_when_busy(pictures: Pictures) -> None:
    """Raise Refusal `busy` while too many queries wait, or too many links; one that is being fetched is RUNNING."""
    is_busy = waiting.cached().waiting >= settings.SIMSEARCH_MAX_WAITING
    if pictures.link and not is_busy:
        unfinished = Query.objects.filter(state__in=[Query.State.WAITING, Query.State.RUNNING], link__isnull=False)
        is_busy = unfinished.count() >= MOST_LINKS
    if is_busy:
        raise Refusal("busy", _("Too many pictures are waiting; try again in a moment."), retry_after_s=5)


def _rows(pictures: Pictures, parameters: Parameters) -> tuple[Query, list[QueryPart]]:
    """Return the query, which has the first picture, and the rows of the others."""
    uploaded, like = pictures.uploads, list(dict.fromkeys(pictures.like))
    query = Query(
        k=parameters.k,
        labels=Image.objects.all_spelled(parameters.labels),
        crop=list(parameters.crop) if parameters.crop else None,
        collapse=parameters.collapse,
        has_picture=uploaded > 0,
        link=pictures.link or None,
        like=None if uploaded else like.pop(0),
    )
    parts = [QueryPart(has_picture=True, is_negative=False) for _ in range(uploaded - 1)]
    parts += [QueryPart(image=image, has_picture=False, is_negative=False) for image in like]
    parts += [QueryPart(image=image, has_picture=False, is_negative=True) for image in dict.fromkeys(pictures.unlike)]
    for place, part in enumerate(parts):
        part.query, part.place = query, place
    query.has_parts = bool(parts)
    return query, parts


def _keep_files(pictures: Pictures, rows: "Sequence[Query | QueryPart]") -> None:
    """Store the files of these rows for a worker. Raises Refusal."""
    if pictures.link:  # its file is fetched by the worker
        rows = rows[1:]
    for kept, row in zip(pictures.kept, rows, strict=False):
        try:
            files.keeper().require_room()
            files.write(row.picture_file, kept.source())
        except files.StorageAway as error:
            raise uploads.storage_away() from error
        except FileNotFoundError as error:
            raise Refusal("not_found", _("The picture of that search is no longer here; upload it again.")) from error
        except OSError as error:
            raise no_space() from error
    for file, row in zip(pictures.files, rows[len(pictures.kept) :], strict=True):
        uploads.store(file, row.upload_file)


def _save(query: Query, parts: Sequence[QueryPart], received: Stopwatch) -> None:
    """Insert the rows and wake a worker. The time of both ends after the rows are written, so it is only counted."""
    received.end("keep")
    query.waiting_since = timezone.now()
    query.accept_ms, query.accept_stages_ms = in_ms(query.waiting_since - query.created_at), received.ms
    with counters.STAGE_SECONDS.labels("commit").time():
        if parts:
            with transaction.atomic():  # no worker may find the query without its parts
                query.save(force_insert=True)
                QueryPart.objects.bulk_create(parts)
        else:
            query.save(force_insert=True)
    with counters.STAGE_SECONDS.labels("wake").time():
        wakeup.wake_unless_pending(wakeup.ANSWER)
