"""Rows for the tests, made the way the system makes them: real pictures in, real files on the disk."""

import hashlib
import subprocess
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.utils import timezone

from engine.decoders.pool import DECODERS
from gallery.curation import library, pictures
from gallery.models import LONGEST_TITLE, Band, Image, Query
from gallery.operations import processes
from gallery.queries import accept, lifecycle
from gallery.queries.accept import Parameters, Pictures
from gallery.queries.lifecycle import Answers, Claim, Found, Searched
from gallery.storage import files
from gallery.timings import Stopwatch
from tests.engine.pictures import encoded, noise


def picture(seed: int = 1) -> bytes:
    """Return a small picture file; another one for each seed."""
    return encoded(noise(48, 32, seed), "PNG")


def uploaded(data: bytes) -> "UploadedFile[Any]":
    """Return a file as Django hands it over."""
    return SimpleUploadedFile("picture.jpg", data)


def add_file(data: bytes, *, label: str = "", title: str = "") -> Image:
    """Return this picture in the gallery, as an import keeps it. Raises BadImage, Refusal, OSError."""
    image = Image(label=label, title=title[:LONGEST_TITLE])
    library.keep(image, hashlib.sha256(data).hexdigest(), pictures.reencode(data), data)
    return image


def add_image(seed: int = 1, *, is_hidden: bool = False, **fields: str) -> Image:
    """Return a picture in the gallery."""
    image = add_file(picture(seed), **fields)
    if is_hidden:
        Image.objects.filter(pk=image.pk).update(is_hidden=True)
    return image


def ask(seed: int = 1, *, age_s: float = 0, **parameters: Any) -> Query:
    """Return a waiting query that was received `age_s` seconds ago."""
    return accept.store(Pictures(files=[uploaded(picture(seed))]), Parameters(**parameters), Stopwatch(ago(age_s)))


def answer(*images: Image, band: Band | None = "similar") -> list[Found]:
    """Return these pictures as the matches, the best first."""
    return [Found(image.pk, 1 - place / 10, band=band) for place, image in enumerate(images)]


def finish(token: uuid.UUID, answers: Answers, **fields: Any) -> int:
    """Return the end of a run: how many queries it still owned."""
    known: dict[str, Any] = {"images": 0, "model_id": "efficientnet_lite0", "generation": None, "stages_ms": {}}
    return lifecycle.finish(token, answers, Searched(**(known | fields)))


def finished(*images: Image, band: Band | None = "similar", query: Query | None = None, **fields: Any) -> Query:
    """Return a query that was answered with these pictures."""
    query = query or ask()
    claim = lifecycle.claim(1)
    if query.upload_file.exists():  # else it has the picture of an earlier search
        decode(query)
    assert finish(claim.token, {query: answer(*images, band=band)}, **({"images": len(images)} | fields)) == 1
    return now(query)


def decode(query: Query) -> None:
    """Decode the upload as a worker does."""
    wanted = pictures.request(jpegs=(pictures.KEPT,))
    files.write(query.picture_file, *DECODERS.decode(query.upload_file.source(), wanted).jpegs)
    files.remove(query.upload_file)


def matches(query: Query) -> list[tuple[int, float, uuid.UUID]]:
    """Return the matches of the row as it is now: rank, similarity, picture."""
    stored = Query.objects.get(pk=query.pk).matches or []
    return [(rank, match["similarity"], uuid.UUID(match["image"])) for rank, match in enumerate(stored, start=1)]


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def set_row(query: Query, **fields: Any) -> None:
    """Bring a row into a position that only time would bring it into."""
    Query.objects.filter(pk=query.pk).update(**fields)


def in_state(state: str) -> tuple[Query, uuid.UUID]:
    """Return a query in that state, and the token of its claim (a made-up one where it waits)."""
    query = ask()
    if state == "waiting":
        return query, uuid.uuid4()
    token = lifecycle.claim(1).token
    if state == "done":
        decode(query)
        finish(token, {query: answer()})
    if state == "failed":
        lifecycle.fail(token, query, "corrupt", "The picture is damaged.")
    return query, token


def now(query: Query) -> Query:
    return Query.objects.get(pk=query.pk)


def claimed(claim: Claim) -> list[uuid.UUID]:
    return [query.pk for query in claim.queries]


def gone_process() -> str:
    """Return a process of this machine that has ended, as rows remember it."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return f"{processes.current().rpartition(':')[0]}:{process.pid}"


def files_kept() -> list[Path]:
    """Return every file of pictures and uploads."""
    folders = (Path(settings.MEDIA_ROOT), Path(settings.UPLOADS_ROOT))
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


STRANGER = uuid.UUID("00000000-0000-4000-8000-000000000000")  # the id of nothing
