"""Work that curators request and workers do in steps: actions on many rows, archives of pictures."""

import uuid
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from gallery.text import LONGEST_LABEL


class BulkAction(models.Model):
    """An admin action on more rows than one request changes: a worker takes them in steps (`gallery.curation.bulk`)."""

    table = models.CharField(max_length=20, help_text="image or query")
    action = models.CharField(max_length=20, help_text="delete, hide, show, label or undo")
    value = models.CharField(  # noqa: DJ001 (null: versions before this field write rows, too)
        max_length=LONGEST_LABEL, null=True, help_text="the new label"
    )
    before = models.BinaryField(null=True, help_text="what it changed, while it can be undone; compressed JSON")
    rows = models.BinaryField(help_text="the ids, 16 bytes each; empty once all are changed")
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    requested_by = models.CharField(max_length=150, help_text="name of the account")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(done__lte=F("total")), name="no_more_rows_than_selected")]

    def __str__(self) -> str:
        return f"{self.action} {self.total} rows of {self.table}"

    @property
    def title(self) -> str:
        """Return its title in the admin."""
        return {"delete": "Delete", "hide": "Hide", "show": "Show", "label": "Label", "undo": "Undo"}[self.action]


class ZipImport(models.Model):
    """An archive of pictures that a curator uploads in parts; then a worker imports it (`gallery.curation.zips`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    label = models.CharField(max_length=LONGEST_LABEL, blank=True)
    label_from_folder = models.BooleanField(default=False)
    size = models.BigIntegerField(help_text="bytes of the whole archive")
    received = models.BigIntegerField(default=0, help_text="bytes that have arrived")
    total = models.PositiveIntegerField(default=0, help_text="files in it")
    done = models.PositiveIntegerField(default=0)
    added = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0)
    refused: "models.JSONField[Any, list[list[str]]]" = models.JSONField(
        default=list, help_text="name and reason of the first ones that are no usable pictures"
    )
    error = models.CharField(max_length=300, blank=True, help_text="why nothing more of it is imported")
    requested_by = models.CharField(max_length=150, help_text="name of the account")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return self.name

    @property
    def parts_prefix(self) -> str:
        """Return how the names of its parts begin, in `uploads`, while it is received and imported."""
        return f"zips/{self.pk.hex[:2]}/{self.pk}."

    @property
    def bad(self) -> int:
        """Return how many of the files were no usable pictures."""
        return self.done - self.added - self.known
