"""What is kept: gallery pictures, their embeddings, index generations, queries with their matches."""

import difflib
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from gallery.addresses import OfPicture, address
from gallery.files import Stored
from gallery.text import LONGEST_LABEL, FoldedField, folded, kept_label, label_key, with_folded
from gallery.timings import in_ms

LONGEST_TITLE, LONGEST_LINK = 200, 2000
COMPARED_LABELS = 5000  # some 50 ms
LIKENESS = 0.5  # difflib's ratio from which a label may be the one that was meant
LONG = 8  # a picture that is more than so many times as long as wide

Band = Literal["same", "very_similar", "similar", "weak"]  # what a cosine means, by the model's thresholds


class ImageQuerySet(models.QuerySet["Image"]):
    def update(self, **values: Any) -> int:
        """UPDATE. The folded columns follow their sources. Raises TypeError for an expression as a source."""
        if "label" in values and settings.SIMSEARCH_INDEX == "milvus":
            values["is_relabelled"] = True
        return super().update(**with_folded(Image, values))

    def visible(self) -> "ImageQuerySet":
        """Return the pictures that can be found."""
        return self.filter(is_hidden=False).exclude(is_pending=True)

    def with_words(self, text: str) -> "ImageQuerySet":
        """Return those whose title or label has each word of the text, without regard to case and accents."""
        found = self
        for word in folded(text).replace("_", " ").split():
            found = found.filter(Q(title_folded__contains=word) | Q(label_folded__contains=word))
        return found

    def pending(self) -> "ImageQuerySet":
        """Return the pictures that are not decoded yet."""
        return self.filter(is_pending=True, problem="")

    def not_embedded(self, network: str) -> "ImageQuerySet":
        """Return the decoded pictures that this model has not embedded."""
        return self.filter(
            ~Exists(Embedding.objects.filter(image=OuterRef("content_hash"), network=network)), problem=""
        ).exclude(is_pending=True)

    def spelled(self, label: str) -> str:
        """Return the label as these pictures spell it; tidied, where none of them has it."""
        return self.all_spelled([label])[0]

    def all_spelled(self, given: Iterable[str]) -> list[str]:
        """Return each of the labels as `spelled` does, with one look at the labels of all pictures at most."""
        wanted = [kept_label(label) for label in given]
        new = {label for label in wanted if label and not self.filter(label=label).exists()}
        if not new:
            return wanted
        known = {label_key(label): label for label in self.order_by().values_list("label", flat=True).distinct()}
        return [known.get(label_key(label), label) if label in new else label for label in wanted]

    def nearest_label(self, wanted: str) -> str | None:
        """Return the label of these pictures that is spelled most like this one, case and accents apart."""
        labels = self.exclude(label="").order_by("label").values_list("label", flat=True).distinct()
        spellings = {folded(label): label for label in labels[:COMPARED_LABELS]}
        found = difflib.get_close_matches(folded(wanted), spellings, n=1, cutoff=LIKENESS)
        return spellings[found[0]] if found else None


class Image(OfPicture, models.Model):
    """A gallery picture. Its files are named after its id: re-encoded JPEGs of the picture itself, of its preview if it
    is larger than that, and of its thumbnail; and the file as it came, where the settings say to keep it.
    """

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
    is_relabelled = models.BooleanField(
        null=True, editable=False, help_text="Milvus does not have its label yet; empty otherwise"
    )
    problem = models.CharField(
        max_length=200, blank=True, editable=False, help_text="why this picture could not be embedded"
    )
    taken_at = models.DateTimeField(
        "taken",
        null=True,
        editable=False,
        db_index=True,
        help_text="when it was photographed, by the Exif data of its file",
    )
    has_preview = models.BooleanField(null=True, editable=False, help_text="its preview is a file of its own")
    has_original = models.BooleanField(null=True, editable=False, help_text="the file as it came is kept")
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [models.Index(fields=["is_relabelled"], condition=Q(is_relabelled=True), name="relabelled_images")]

    def __str__(self) -> str:
        return self.title or f"Untitled {self.label}".strip()

    def save(self, *args: Any, **options: Any) -> None:
        """Write the row, its label spelled as other pictures spell it."""
        fields = options.get("update_fields")
        if "label" in (fields or ["label"]):
            self.label = Image.objects.exclude(pk=self.pk).spelled(self.label)
            if settings.SIMSEARCH_INDEX == "milvus" and not self._state.adding:
                self.is_relabelled = True
                options["update_fields"] = fields and [*fields, "is_relabelled"]
        super().save(*args, **options)

    @property
    def is_long(self) -> bool:
        """Tell whether its page shows the middle alone: the whole picture would be a line."""
        return max(self.width_px, self.height_px) > LONG * min(self.width_px, self.height_px)

    @property
    def picture_file(self) -> Stored:
        """Return the path of the picture file."""
        return Stored("default", f"gallery/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def preview_file(self) -> Stored:
        """Return the large thumbnail, if `has_preview`."""
        return Stored("default", f"previews/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def shown_file(self) -> Stored:
        """Return the picture as pages show it and the network sees it, within 1,000 px."""
        return self.preview_file if self.has_preview else self.picture_file

    @property
    def original_file(self) -> Stored:
        """Return the file as it came, if `has_original`; only the staff gets it."""
        return Stored("originals", f"{self.pk.hex[:2]}/{self.pk}")

    @property
    def thumbnail_file(self) -> Stored:
        """Return the file of the thumbnail."""
        return Stored("default", f"thumbnails/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def upload_file(self) -> Stored:
        """Return the uploaded bytes of a pending picture."""
        return Stored("uploads", f"gallery/{self.pk.hex[:2]}/{self.pk}")

    @property
    def files(self) -> tuple[Stored, ...]:
        """Return all files that it may have."""
        return self.picture_file, self.preview_file, self.thumbnail_file, self.original_file, self.upload_file


class Embedding(models.Model):
    """What one network makes of one picture: 4096 float16 numbers of unit length, little-endian.

    It goes with its picture. One that a worker writes while its picture is deleted is found by `prune`.
    """

    image = models.ForeignKey(
        Image,
        to_field="content_hash",
        db_column="content_hash",
        db_constraint=False,
        on_delete=models.CASCADE,
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


class GenerationManager(models.Manager["IndexGeneration"]):
    """Leaves the PCA where it is: it is read when a generation is opened, the rest before every batch."""

    def get_queryset(self) -> "models.QuerySet[IndexGeneration]":
        """Return all, without their components."""
        return super().get_queryset().defer("components")


class IndexGeneration(models.Model):
    """One index: an immutable directory `index/<number>/`, or a collection of Milvus. At most one is active."""

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
    components = models.BinaryField(null=True, help_text="the PCA of a collection in Milvus, float16")
    error = models.CharField(max_length=500, blank=True)
    builder = models.CharField(max_length=255, blank=True, help_text="the process that builds it")
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    activated_at = models.DateTimeField(null=True)

    objects = GenerationManager()

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
        """Return the directory of the index files."""
        return settings.INDEX_ROOT / str(self.number)

    @property
    def is_synchronised(self) -> bool:
        """Whether new embeddings are added to it; the files of others never change."""
        return bool(self.manifest.get("engine") == "milvus")


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


class Uploaded:
    """The files of a row that may have an uploaded picture: `folder` keeps them, named after the row's id."""

    folder: ClassVar[str]
    pk: Any

    @property
    def picture_file(self) -> Stored:
        """The picture as a worker encoded it."""
        return Stored("default", f"{self.folder}/{str(self.pk)[:2]}/{self.pk}.jpg")

    @property
    def upload_file(self) -> Stored:
        """The uploaded bytes, until the picture is encoded."""
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
        """Return the address of the query's page."""
        return address("query", self.pk)

    @property
    def picture_url(self) -> str | None:
        """Where the browser finds the picture that is searched with; None while it is not decoded, or gone."""
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
        """Its pictures but the first; no statement where there are none."""
        if not self.has_parts:
            return []
        models.prefetch_related_objects([self], "parts__image")  # once: an image that is gone is None then
        return list(self.parts.all())

    @property
    def pictures(self) -> "list[Query | QueryPart]":
        """What it consists of: the row itself for the first picture, and the rows of the others."""
        return [self, *self.further]

    @property
    def gallery_ids(self) -> frozenset[uuid.UUID]:
        """The gallery pictures that it names, positive and negative ones."""
        return frozenset(row.gallery_id for row in self.pictures if row.gallery_id)

    @property
    def files(self) -> list[Stored]:
        """Where each of its uploaded pictures may be."""
        return [file for row in self.pictures for file in (row.picture_file, row.upload_file) if row.has_picture]

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
        """Where the browser finds it; None while it is not decoded, or gone."""
        if self.has_picture:
            return address("part_picture", self.pk) if self.picture_file.exists() else None
        return self.image.picture_url if self.image else None


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
        """What the admin calls it."""
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
    def upload_file(self) -> Stored:
        """Return where the archive is while it is received and imported."""
        return Stored("received", f"zips/{self.pk.hex[:2]}/{self.pk}")

    @property
    def bad(self) -> int:
        """How many of the files were no usable pictures."""
        return self.done - self.added - self.known


class Analysis(models.Model):
    """A look at the whole gallery by a worker, one row a kind. Its state changes only in `gallery.insight.analyses`."""

    class Kind(models.TextChoices):
        DUPLICATES = "duplicates"
        MISLABELS = "mislabels"
        MAP = "map"
        EVALUATION = "evaluation"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    kind = models.CharField(max_length=20, choices=Kind, unique=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    runner = models.CharField(max_length=255, blank=True, help_text="the process that runs it")
    lease_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)
    result: "models.JSONField[Any, dict[str, Any]]" = models.JSONField(
        default=dict, help_text="of the last one that came to its end"
    )
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True, help_text="when the result was found")

    class Meta:
        verbose_name_plural = "analyses"

    def __str__(self) -> str:
        return self.kind

    @property
    def is_under_way(self) -> bool:
        """Tell whether a worker runs it or will."""
        return self.state in {self.State.WAITING, self.State.RUNNING}


class Decision(models.Model):
    """What a curator has said about pictures, so that no later analysis asks again."""

    class Kind(models.TextChoices):
        NOT_DUPLICATES = "not duplicates"
        LABEL_IS_RIGHT = "label is right"

    kind = models.CharField(max_length=20, choices=Kind)
    images: "models.JSONField[Any, list[str]]" = models.JSONField(help_text="the ids of the pictures")
    label = models.CharField(max_length=LONGEST_LABEL, blank=True, help_text="the one that is right")
    decided_by = models.CharField(max_length=150, help_text="name of the account")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.kind}: {len(self.images)} pictures"


# The references to images below have no constraint of the database: the version before deletes images without knowing
# of these tables.


class DuplicateGroup(models.Model):
    """Near-duplicates, found by an analysis: the best picture and those that look like it."""

    class Kind(models.TextChoices):
        COPY = "copy", "the same picture, saved again or resized"
        MIRRORED = "mirrored", "mirrored"
        ALTERED = "altered", "cropped, recoloured or another moment"

    kind = models.CharField(max_length=10, choices=Kind, db_index=True)

    def __str__(self) -> str:
        return f"group {self.pk} of near-duplicates"

    @property
    def images(self) -> ImageQuerySet:
        """Return its pictures, hidden ones too."""
        return Image.objects.filter(duplicate__group=self)


class Duplicate(models.Model):
    """One picture of a group; `similarity`: its cosine with the best one."""

    group = models.ForeignKey(DuplicateGroup, on_delete=models.CASCADE, related_name="members")
    image = models.OneToOneField(Image, on_delete=models.CASCADE, related_name="duplicate", db_constraint=False)
    similarity = models.FloatField()

    def __str__(self) -> str:
        return f"{self.image_id} in {self.group_id}"


class Suspect(models.Model):
    """A picture whose neighbours mostly have another label, found by an analysis."""

    image = models.OneToOneField(Image, on_delete=models.CASCADE, related_name="suspect", db_constraint=False)
    label = models.CharField(max_length=LONGEST_LABEL, help_text="its label then")
    suggestion = models.CharField(max_length=LONGEST_LABEL, help_text="the label that most of its neighbours have")
    suspicion = models.FloatField(db_index=True, help_text="share of the neighbours with it less that with its own")
    neighbours: "models.JSONField[Any, list[str]]" = models.JSONField(help_text="ids, the most similar first")

    def __str__(self) -> str:
        return f"{self.label} or {self.suggestion}"


class MapPoint(models.Model):
    """Where a picture lies on the map of the gallery: 0 to 1 from the left and from the top."""

    image = models.OneToOneField(
        Image, on_delete=models.CASCADE, related_name="map_point", primary_key=True, db_constraint=False
    )
    x = models.FloatField()
    y = models.FloatField()

    def __str__(self) -> str:
        return f"{self.image_id} at {self.x:.3f}, {self.y:.3f}"
