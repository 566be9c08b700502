"""The content of a backup: the tables, and the picture files that their rows name."""

import uuid

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from gallery.models import (
    Analysis,
    BulkAction,
    Duplicate,
    DuplicateGroup,
    Image,
    IndexGeneration,
    MapPoint,
    Query,
    QueryPart,
    Suspect,
    ZipImport,
)
from gallery.storage.files import Stored

Table = type[Model]

# Left out: sessions, the index, which can be built again, running admin actions and imports, which would go on in the
# restored system, and analyses, which can run again.
NOT_KEPT: set[Table] = {
    Session,
    IndexGeneration,
    BulkAction,
    Analysis,
    DuplicateGroup,
    Duplicate,
    Suspect,
    MapPoint,
    ZipImport,
}
QUERIES: set[Table] = {Query, QueryPart}
# Kind of picture file -> its model, and the property that names the file.
PICTURES: dict[str, tuple[Table, str]] = {
    "gallery": (Image, "picture_file"),
    "previews": (Image, "preview_file"),
    "thumbnails": (Image, "thumbnail_file"),
    "originals": (Image, "original_file"),
    "pending": (Image, "upload_file"),
    "queries": (Query, "picture_file"),
    "uploads": (Query, "upload_file"),
    "parts": (QueryPart, "picture_file"),
    "partuploads": (QueryPart, "upload_file"),
}


def every() -> list[Table]:
    """Return all tables, those with pictures first: rows that refer to a row with a picture come after it."""
    models = apps.get_models(include_auto_created=True)
    tables = [model for model in models if model._meta.managed and not model._meta.proxy]
    return sorted(tables, key=lambda table: (table is not Image, table is not Query, name(table)))


def kept() -> list[Table]:
    """Return the tables that a backup contains."""
    return [table for table in every() if table not in NOT_KEPT]


def name(table: Table) -> str:
    """Return the name of a table in a backup."""
    return table._meta.label_lower


def pictures_of(row: Model) -> dict[str, list[Stored]]:
    """Return the kinds of picture files that a row needs, and where each may be found, the best place first.

    What waits for a worker may be decoded while the backup is made: then the decoded picture takes the upload's place.
    """
    if isinstance(row, Image):
        if row.is_pending:
            return {} if row.problem else {"pending": [row.upload_file, row.picture_file]}
        files = {"gallery": [row.picture_file], "thumbnails": [row.thumbnail_file]}
        files |= {"previews": [row.preview_file]} if row.has_preview else {}
        return files | ({"originals": [row.original_file]} if row.has_original else {})
    if not isinstance(row, Query | QueryPart) or not row.has_picture:
        return {}
    state = row.state if isinstance(row, Query) else row.query.state
    if state == Query.State.FAILED:
        return {}
    if isinstance(row, Query) and row.link and not any(file.exists() for file in (row.picture_file, row.upload_file)):
        return {}  # a worker fetches it
    encoded, uploaded = ("queries", "uploads") if isinstance(row, Query) else ("parts", "partuploads")
    if row.picture_file.exists() and not row.upload_file.exists():
        return {encoded: [row.picture_file]}
    return {uploaded: [row.upload_file, row.picture_file]}


def picture_file(kind: str, row_id: uuid.UUID) -> Stored:
    """Return the file of this kind of the row with this id. Raises KeyError for an unknown kind."""
    table, attribute = PICTURES[kind]
    file: Stored = getattr(table(pk=row_id), attribute)
    return file


def migrations() -> list[str]:
    """Return the state of this database."""
    return sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations())
