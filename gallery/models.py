"""What is kept: gallery pictures, their embeddings, index generations, queries with their matches."""

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from gallery import labels
from gallery.addresses import OfPicture, address
from gallery.files import Stored
from gallery.searchable import FoldedField, with_folded
from gallery.timings import in_ms

LONGEST_LABEL, LONGEST_TITLE = labels.LONGEST, 200
LONG = 8  # a picture that is more than so many times as long as wide

Band = Literal["same", "very_similar", "similar", "weak"]  # what a cosine means, by the network's thresholds


class ImageQuerySet(models.QuerySet["Image"]):
    def update(self, **values: Any) -> int:
        """UPDATE. The folded columns follow their sources. Raises TypeError for an expression as a source."""
        return super().update(**with_folded(Image, values))

    def visible(self) -> "ImageQuerySet":
        return self.filter(is_hidden=False).exclude(is_pending=True)

    def pending(self) -> "ImageQuerySet":
        return self.filter(is_pending=True, problem="")

    def not_embedded(self, network: str) -> "ImageQuerySet":
        return self.filter(
            ~Exists(Embedding.objects.filter(image=OuterRef("content_hash"), network=network)), problem=""
        ).exclude(is_pending=True)

    def spelled(self, label: str) -> str:
        """Return the label as these pictures spell it; tidied, where none of them has it."""
        return self.all_spelled([label])[0]

    def all_spelled(self, given: Iterable[str]) -> list[str]:
        """Return each of the labels as `spelled` does, with one look at the labels of all pictures at most."""
        wanted = [labels.kept(label) for label in given]
        new = {label for label in wanted if label and not self.filter(label=label).exists()}
        if not new:
            return wanted
        known = {labels.key(label): label for label in self.order_by().values_list("label", flat=True).distinct()}
        return [known.get(labels.key(label), label) if label in new else label for label in wanted]


class Image(OfPicture, models.Model):
    """A gallery picture. Its two files are re-encoded JPEGs, named after its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    content_hash = models.CharField(
        max_length=64, unique=True, editable=False, help_text="sha256 of the file as it came"
    )
    title = models.CharField(max_length=LONGEST_TITLE, blank=True)
    label = models.CharField(max_length=LONGEST_LABEL, blank=True, db_index=True)
    title_folded = FoldedField("title")
    label_folded = FoldedField("label")
    width_px = models.PositiveIntegerField(editable=False)
    height_px = models.PositiveIntegerField(editable=False)
    is_hidden = models.BooleanField("hidden", default=False, db_index=True)
    is_pending = models.BooleanField(
        null=True, editable=False, help_text="uploaded and not decoded yet; empty for other ways into the gallery"
    )
    problem = models.CharField(
        max_length=200, blank=True, editable=False, help_text="why this picture could not be embedded"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.title or str(self.id)

    def save(self, *args: Any, **options: Any) -> None:
        """Write the row, its label spelled as other pictures spell it."""
        if "label" in (options.get("update_fields") or ["label"]):
            self.label = Image.objects.exclude(pk=self.pk).spelled(self.label)
        super().save(*args, **options)

    @property
    def is_long(self) -> bool:
        """Whether its page shows the middle alone: the whole picture would be a line."""
        return max(self.width_px, self.height_px) > LONG * min(self.width_px, self.height_px)

    @property
    def picture_file(self) -> Stored:
        return Stored("default", f"gallery/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def thumbnail_file(self) -> Stored:
        return Stored("default", f"thumbnails/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def upload_file(self) -> Stored:
        """The uploaded bytes of a pending picture."""
        return Stored("uploads", f"gallery/{self.pk.hex[:2]}/{self.pk}")


class Embedding(models.Model):
    """What one network makes of one picture: 4096 float16 numbers of unit length, little-endian.

    It belongs to the content, not to the row: it stays when a picture is deleted (until `prune`), so that the same
    file coming back costs nothing.
    """

    image = models.ForeignKey(
        Image,
        to_field="content_hash",
        db_column="content_hash",
        db_constraint=False,
        on_delete=models.DO_NOTHING,
        related_name="embeddings",
    )
    network = models.CharField(max_length=64, help_text="name, weights checksum and recipe version")
    vector = models.BinaryField()
    fingerprint = models.BinaryField(null=True, help_text="perceptual hash: tells copies from others")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "network"], name="one_embedding_per_content_and_network")
        ]
        indexes = [models.Index(fields=["network", "id"], name="embeddings_in_order")]

    def __str__(self) -> str:
        return f"{self.network} of {self.image_id}"


class IndexGeneration(models.Model):
    """One immutable index directory, `index/<number>/`. At most one is active."""

    class State(models.TextChoices):
        BUILDING = "building"
        READY = "ready"
        FAILED = "failed"

    number = models.AutoField(primary_key=True)
    network = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State, default=State.BUILDING)
    is_active = models.BooleanField(default=False)
    images = models.PositiveIntegerField(default=0)
    last_embedding = models.BigIntegerField(
        default=0, help_text="embeddings with a higher id are newer than this generation"
    )
    manifest = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    builder = models.CharField(max_length=255, blank=True, help_text="the process that builds it")
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    activated_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["is_active"], condition=Q(is_active=True), name="one_active_generation"),
            models.UniqueConstraint(fields=["state"], condition=Q(state="building"), name="one_build_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"generation {self.number}"

    @property
    def directory(self) -> Path:
        return settings.INDEX_ROOT / str(self.number)


class StoredMatch(TypedDict):
    """One of the gallery pictures most like a query's picture.

    `similarity`: the cosine, -1 to 1; `band`: what it means, missing in matches of versions before; `duplicates`:
    near-duplicates of this one with their similarity to the query, up to `gallery.queries.results.LISTED`.
    """

    image: str
    similarity: float
    band: NotRequired[Band | None]
    duplicates: list[tuple[str, float]]


class Calibration(models.Model):
    """What a network's cosines mean in this gallery, as `manage.py calibrate --write` measured it."""

    network = models.CharField(max_length=64, unique=True, help_text="its identity, as in Embedding.network")
    same = models.FloatField(help_text="the cosine from which a match is almost the same picture")
    very_similar = models.FloatField()
    similar = models.FloatField()
    duplicate = models.FloatField(help_text="the cosine from which two pictures are near-duplicates")
    pictures = models.PositiveIntegerField(help_text="how many pictures the gallery had")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(similar__gte=-1, similar__lte=F("very_similar"), same__lte=1, duplicate__lte=1)
                & Q(very_similar__lte=F("same"))
                & Q(very_similar__lte=F("duplicate")),
                name="thresholds_are_in_order",
            )
        ]

    def __str__(self) -> str:
        return f"thresholds of {self.network}"


class Query(models.Model):
    """An accepted search. Its state changes only in `gallery.queries.lifecycle`."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    like = models.ForeignKey(Image, null=True, on_delete=models.SET_NULL, related_name="+")
    has_picture = models.BooleanField(help_text="an upload; otherwise `like` is the question")
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
    network = models.CharField(max_length=64, blank=True)
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
        return address("query", self.pk)

    @property
    def picture_url(self) -> str | None:
        """Where the browser finds the picture that is searched with; None while it is not decoded, or gone."""
        if self.has_picture:
            return address("query_picture", self.pk) if self.picture_file.exists() else None
        return self.like.picture_url if self.like else None

    @property
    def picture_file(self) -> Stored:
        """The picture as a worker encoded it."""
        return Stored("default", f"queries/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def upload_file(self) -> Stored:
        """The uploaded bytes, until the picture is encoded."""
        return Stored("uploads", f"queries/{self.pk.hex[:2]}/{self.pk}")

    @property
    def timings_ms(self) -> dict[str, float]:
        """Where its time went so far, as the API describes it."""
        timings = {} if self.accept_ms is None else {"accept": self.accept_ms}
        timings |= self.accept_stages_ms or {}
        if self.claimed_at and self.state != self.State.WAITING:
            # A run notes its time before the database lets it look: what came in between has not waited.
            timings["queue"] = max(0.0, in_ms(self.claimed_at - self.waiting_since))
        timings |= self.stages_ms
        if self.state == self.State.DONE and self.claimed_at and self.finished_at:
            # The last stage of the run, so it cannot be among those that were written in it.
            left_ms = in_ms(self.finished_at - self.claimed_at) - sum(self.stages_ms.values())
            timings["finish"] = max(0.0, round(left_ms, 1))
            timings["total"] = in_ms(self.finished_at - self.created_at)
        return timings

    @property
    def is_finished(self) -> bool:
        return self.state in {self.State.DONE, self.State.FAILED}


class BulkAction(models.Model):
    """An admin action on more rows than one request changes: a worker takes them in steps (`gallery.curation.bulk`)."""

    table = models.CharField(max_length=20, help_text="image or query")
    action = models.CharField(max_length=20, help_text="delete, hide or show")
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
        """What the admin calls it."""
        return {"delete": "Delete", "hide": "Hide", "show": "Show"}[self.action]
