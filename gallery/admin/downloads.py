"""Selected gallery pictures as a table, or as an archive with the table in it."""

import io
import zipfile
from collections.abc import Iterable, Iterator

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from gallery.curation.folders import image_table
from gallery.models import Image

MOST = 2000  # pictures of one archive: the request occupies a thread of the server until it ends
ROWS = 500
PART = 2**16  # characters of a table that are sent at once: the server makes a chunk of each part


def sent(parts: Iterable[str] | Iterable[bytes], name: str, content_type: str) -> StreamingHttpResponse:
    """Return the download of a file that is made while it is sent."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(parts, content_type=content_type, headers=headers)


def _name(image: Image) -> str:
    return f"pictures/{image.pk}.jpg"


def table(images: QuerySet[Image]) -> Iterator[str]:
    """Return the rows of images.csv, as `manage.py export` writes it."""
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
    """A buffer of the bytes since the last read. It cannot seek, so the archive is written front to back."""

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


def archive(images: QuerySet[Image]) -> Iterator[bytes]:
    """Return the parts of a ZIP of the pictures and their table."""
    output, table_of = _Sent(), io.StringIO(newline="")
    image_table.write_head(table_of)
    with zipfile.ZipFile(output, "w") as file:  # not compressed: JPEGs do not get smaller
        for image in images[:MOST]:
            try:
                file.writestr(_name(image), image.picture_file.read_bytes())
            except FileNotFoundError:  # deleted since, or not decoded yet
                continue
            image_table.write_row(table_of, image, _name(image))
            yield output.take()
        file.writestr(image_table.NAME, table_of.getvalue())
    yield output.take()
