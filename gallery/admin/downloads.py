"""Selected gallery pictures as a table, or as an archive with the table in it."""

import io
import zipfile
from collections.abc import Iterator

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from gallery.curation.folders import image_table
from gallery.models import Image

MOST = 2000  # pictures of one archive: a request has a thread of its server meanwhile
ROWS = 500
PART = 2**16  # characters of a table that are sent at once: the server makes a chunk of each part


def table(images: QuerySet[Image]) -> StreamingHttpResponse:
    """Return images.csv, as `manage.py export` writes it."""
    response = StreamingHttpResponse(_lines(images), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{image_table.NAME}"'
    return response


def archive(images: QuerySet[Image]) -> StreamingHttpResponse:
    """Return a ZIP of the pictures and their table."""
    response = StreamingHttpResponse(_archive(images), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="pictures.zip"'
    return response


def _name(image: Image) -> str:
    return f"pictures/{image.pk}.jpg"


def _lines(images: QuerySet[Image]) -> Iterator[str]:
    file = io.StringIO(newline="")
    image_table.write_head(file)
    for image in images.iterator(ROWS):
        image_table.write_row(file, image, _name(image))
        if file.tell() >= PART:
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()


class _Sent(io.RawIOBase):
    """What was written since it was last taken. It cannot seek, so the archive is written from front to back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self._parts.append(bytes(data))  # type: ignore[call-overload]
        return len(self._parts[-1])

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def _archive(images: QuerySet[Image]) -> Iterator[bytes]:
    sent, table_of = _Sent(), io.StringIO(newline="")
    image_table.write_head(table_of)
    with zipfile.ZipFile(sent, "w") as file:  # stored: JPEGs do not get smaller
        for image in images[:MOST]:
            try:
                file.writestr(_name(image), image.picture_file.read_bytes())
            except FileNotFoundError:  # deleted meanwhile, or not decoded yet
                continue
            image_table.write_row(table_of, image, _name(image))
            yield sent.take()
        file.writestr(image_table.NAME, table_of.getvalue())
    yield sent.take()
