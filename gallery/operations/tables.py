"""What a backup is of: every table but those that mean nothing elsewhere, and the pictures that the rows name."""

import uuid

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from gallery.files import Stored
from gallery.models import BulkAction, Image, IndexGeneration, Query

Table = type[Model]

# Who is logged in here, and what the index of these embeddings is: that is on this disk, and can be built again. An
# admin action under way would go on where the backup is restored.
NOT_KEPT: set[Table] = {Session, IndexGeneration, BulkAction}
QUERIES: set[Table] = {Query}
# Kind of picture file -> whose it is, and which property names the file.
PICTURES: dict[str, tuple[Table, str]] = {
    "gallery": (Image, "picture_file"),
    "thumbnails": (Image, "thumbnail_file"),
    "pending": (Image, "upload_file"),
    "queries": (Query, "picture_file"),
    "uploads": (Query, "upload_file"),
}


def every() -> list[Table]:
    """All tables, those with pictures first: what refers to a row that goes with its picture comes after it."""
    models = apps.get_models(include_auto_created=True)
    tables = [model for model in models if model._meta.managed and not model._meta.proxy]
    return sorted(tables, key=lambda table: (table is not Image, table is not Query, name(table)))


def kept() -> list[Table]:
    return [table for table in every() if table not in NOT_KEPT]


def name(table: Table) -> str:
    return table._meta.label_lower


def pictures_of(row: Model) -> dict[str, list[Stored]]:
    """The kinds of picture files that a row needs, and where each may be found, the best place first.

    What waits for a worker may be decoded while the backup is made: then the decoded picture takes the upload's place.
    """
    if isinstance(row, Image):
        if row.is_pending:
            return {} if row.problem else {"pending": [row.upload_file, row.picture_file]}
        return {"gallery": [row.picture_file], "thumbnails": [row.thumbnail_file]}
    if not isinstance(row, Query) or not row.has_picture or row.state == Query.State.FAILED:
        return {}
    if row.state == Query.State.DONE and not row.upload_file.exists():
        return {"queries": [row.picture_file]}
    return {"uploads": [row.upload_file, row.picture_file]}


def picture_file(kind: str, row_id: uuid.UUID) -> Stored:
    """The file of this kind of the row with this id. Raises KeyError for an unknown kind."""
    table, attribute = PICTURES[kind]
    file: Stored = getattr(table(pk=row_id), attribute)
    return file


def migrations() -> list[str]:
    """The state of this database."""
    return sorted(".".join(key) for key in MigrationRecorder(connection).applied_migrations())
