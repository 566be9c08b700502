"""Searches, with their pictures and their matches."""

import uuid
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from django.db import models
from django.db.models import Q
from django.utils import timezone

from gallery.addresses import address
from gallery.models.images import Image
from gallery.storage.files import Stored
from gallery.timings import in_ms

LONGEST_LINK = 2000
Band = Literal["same", "very_similar", "similar", "weak"]  # a cosine in words, by the model's thresholds


class StoredMatch(TypedDict):
    """One of the gallery pictures most like a query's picture.

    `similarity`: the cosine, -1 to 1; `band`: what it means, missing in matches of versions before; `duplicates`:
    near-duplicates of this one with their similarity to the query, up to `gallery.queries.lifecycle.LISTED`.
    """

    image: str
    similarity: float
    band: NotRequired[Band | None]
    duplicates: list[tuple[str, float]]


class Uploaded:
    """The files of a row that may have an uploaded picture, in `folder`, named after the row's id."""

    folder: ClassVar[str]
    pk: Any

    @property
    def picture_file(self) -> Stored:
        """Return the picture as a worker encoded it."""
        return Stored("default", f"{self.folder}/{str(self.pk)[:2]}/{self.pk}.jpg")

    @property
    def upload_file(self) -> Stored:
        """Return the uploaded bytes, until the picture is encoded."""
        return Stored("uploads", f"{self.folder}/{str(self.pk)[:2]}/{self.pk}")


class Query(Uploaded, models.Model):
    """An accepted search. Its state changes only in `gallery.queries.lifecycle`."""

    folder = "queries"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    like = models.ForeignKey(Image, null=True, on_delete=models.SET_NULL, related_name="+")
    has_picture = models.BooleanField(help_text="an upload; otherwise `like` is the question")
    link = models.CharField(  # noqa: DJ001 (null: versions before this field write rows, too)
        max_length=LONGEST_LINK, null=True, help_text="the address from which a worker fetches the picture"
    )
    has_parts = models.BooleanField(null=True, help_text="more than one picture: the others are its parts")
    k = models.PositiveSmallIntegerField(default=10)
    crop: "models.JSONField[Any, list[float] | None]" = models.JSONField(
        null=True, help_text="x, y, w, h as fractions of the upright picture"
    )
    labels: "models.JSONField[Any, list[str]]" = models.JSONField(default=list)
    collapse = models.BooleanField(default=True, help_text="near-duplicates count as one match")

    client = models.CharField(  # noqa: DJ001 (null: versions before this field write rows, too)
        max_length=32, null=True, editable=False, help_text="who sent it, as a hash; empty once it is answered"
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    claim = models.UUIDField(null=True, help_text="the run that has it now")
    claimed_by = models.CharField(max_length=255, blank=True, help_text="the process of that run")
    lease_until = models.DateTimeField(null=True)

    is_incomplete = models.BooleanField(null=True, help_text="its file ended too soon; searched with what is there")
    error_code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=300, blank=True)
    generation = models.PositiveIntegerField(null=True)
    model_id = models.CharField(max_length=64, blank=True, db_column="network", help_text="as in Embedding.model_id")
    images = models.PositiveIntegerField(null=True, help_text="how many gallery pictures were compared")
    matches: "models.JSONField[Any, list[StoredMatch] | None]" = models.JSONField(
        null=True, help_text="gallery pictures, the most similar first"
    )
    accept_ms = models.FloatField(null=True, help_text="from the first byte to a waiting query")
    accept_stages_ms: "models.JSONField[Any, dict[str, float] | None]" = models.JSONField(
        null=True, help_text="the stages of that"
    )
    stages_ms: "models.JSONField[Any, dict[str, float]]" = models.JSONField(
        default=dict, db_column="timings_ms", help_text="the stages of the batch that answered it"
    )

    created_at = models.DateTimeField(default=timezone.now, help_text="when the upload was received")
    waiting_since = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "queries"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(k__gte=1, k__lte=100), name="k_is_1_to_100"),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running", "done", "failed"]), name="query_state_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "created_at"], name="queries_by_state"),
            models.Index(fields=["created_at"], name="queries_by_age"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    def get_absolute_url(self) -> str:
        """Return the address of the query's page."""
        return address("query", self.pk)

    @property
    def picture_url(self) -> str | None:
        """Return the address of the picture that is searched with; None while it is not decoded, or if it is gone."""
        if self.has_picture:
            return address("query_picture", self.pk) if self.picture_file.exists() else None
        return self.like.preview_url if self.like else None

    @property
    def gallery_id(self) -> uuid.UUID | None:
        """Return the id of the gallery picture that it names, if any."""
        return self.like_id

    @property
    def gallery_picture(self) -> Image | None:
        """Return the gallery picture that it names, if any."""
        return self.like

    @property
    def further(self) -> "list[QueryPart]":
        """Return its pictures but the first; runs no statement if there are none."""
        if not self.has_parts:
            return []
        models.prefetch_related_objects([self], "parts__image")  # once: an image that is gone is None then
        return list(self.parts.all())

    @property
    def pictures(self) -> "list[Query | QueryPart]":
        """Return its pictures: the row itself for the first one, and the rows of the others."""
        return [self, *self.further]

    @property
    def gallery_ids(self) -> frozenset[uuid.UUID]:
        """Return the ids of the gallery pictures that it names, positive and negative ones."""
        return frozenset(row.gallery_id for row in self.pictures if row.gallery_id)

    @property
    def files(self) -> list[Stored]:
        """Return all files that its uploaded pictures may have."""
        return [file for row in self.pictures for file in (row.picture_file, row.upload_file) if row.has_picture]

    @property
    def timings_ms(self) -> dict[str, float]:
        """Return the time of each stage so far, as the API describes it."""
        timings = {} if self.accept_ms is None else {"accept": self.accept_ms}
        timings |= self.accept_stages_ms or {}
        if self.claimed_at and self.state != self.State.WAITING:
            # A run notes its time before the database lets it look: what came in between has not waited.
            timings["queue"] = max(0.0, in_ms(self.claimed_at - self.waiting_since))
        timings |= self.stages_ms
        if self.state == self.State.DONE and self.claimed_at and self.finished_at:
            # `finish` writes the timings, so it cannot be among them.
            left_ms = in_ms(self.finished_at - self.claimed_at) - sum(self.stages_ms.values())
            timings["finish"] = max(0.0, round(left_ms, 1))
            timings["total"] = in_ms(self.finished_at - self.created_at)
        return timings

    @property
    def is_finished(self) -> bool:
        """Tell whether the query has an answer or an error."""
        return self.state in {self.State.DONE, self.State.FAILED}


class QueryPart(Uploaded, models.Model):
    """A further picture of a query: uploaded, or of the gallery, which matches shall be like or unlike.

    No constraint of the database: the version before deletes queries and images without knowing of this table.
    """

    folder = "parts"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    query = models.ForeignKey(Query, on_delete=models.CASCADE, related_name="parts", db_constraint=False)
    place = models.PositiveSmallIntegerField(help_text="its order among the parts of the query")
    image = models.ForeignKey(Image, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False)
    has_picture = models.BooleanField(help_text="an upload; otherwise it is the gallery picture `image`")
    is_negative = models.BooleanField(help_text="matches shall be unlike it")

    class Meta:
        ordering = ["place"]
        constraints = [models.UniqueConstraint(fields=["query", "place"], name="one_part_in_each_place")]

    def __str__(self) -> str:
        return f"part {self.place} of {self.query_id}"

    @property
    def gallery_id(self) -> uuid.UUID | None:
        """Return the id of the gallery picture that it names, if any."""
        return self.image_id

    @property
    def gallery_picture(self) -> Image | None:
        """Return the gallery picture that it names, if any."""
        return self.image

    @property
    def picture_url(self) -> str | None:
        """Return where the browser finds an uploaded picture; None while it is not decoded, or gone."""
        return address("part_picture", self.pk) if self.has_picture and self.picture_file.exists() else None
