"""Gallery pictures and their embeddings."""

import difflib
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from gallery.addresses import OfPicture
from gallery.storage.files import Stored
from gallery.text import LONGEST_LABEL, FoldedField, folded, kept_label, label_key, with_folded

LONGEST_TITLE = 200
COMPARED_LABELS = 5000  # some 50 ms
LIKENESS = 0.5  # difflib's ratio from which a label is suggested for a misspelled one
LONG = 8  # a picture that is more than so many times as long as wide


class ImageQuerySet(models.QuerySet["Image"]):
    def update(self, **values: Any) -> int:
        """Run an UPDATE that also sets the folded columns. Raises TypeError for an expression as a source."""
        if "label" in values and settings.SIMSEARCH_INDEX == "milvus":
            values["is_relabelled"] = True
        return super().update(**with_folded(Image, values))

    def visible(self) -> "ImageQuerySet":
        """Return the pictures that searches can find."""
        return self.filter(is_hidden=False).exclude(is_pending=True)

    def with_words(self, text: str) -> "ImageQuerySet":
        """Return those whose title or label has each word of the text, ignoring case and accents."""
        found = self
        for word in folded(text).replace("_", " ").split():
            found = found.filter(Q(title_folded__contains=word) | Q(label_folded__contains=word))
        return found

    def pending(self) -> "ImageQuerySet":
        """Return the pictures that are not decoded yet."""
        return self.filter(is_pending=True, problem="")

    def not_embedded(self, model_id: str) -> "ImageQuerySet":
        """Return the decoded pictures that this model has not embedded."""
        return self.filter(
            ~Exists(Embedding.objects.filter(image=OuterRef("content_hash"), model_id=model_id)), problem=""
        ).exclude(is_pending=True)

    def spelled(self, label: str) -> str:
        """Return the label as these pictures spell it; normalised, if none of them has it."""
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
        """Return the label of these pictures that is spelled most like this one, ignoring case and accents."""
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
        """Tell whether its page shows only the middle: the whole picture would be a line."""
        return max(self.width_px, self.height_px) > LONG * min(self.width_px, self.height_px)

    @property
    def picture_file(self) -> Stored:
        """Return the picture file."""
        return Stored("default", f"gallery/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def preview_file(self) -> Stored:
        """Return the large thumbnail, if `has_preview`."""
        return Stored("default", f"previews/{self.pk.hex[:2]}/{self.pk}.jpg")

    @property
    def shown_file(self) -> Stored:
        """Return the picture as pages show it and the model sees it, within 1,000 px."""
        return self.preview_file if self.has_preview else self.picture_file

    @property
    def original_file(self) -> Stored:
        """Return the original file, if `has_original`; only staff may get it."""
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
    """The embedding of a picture by a model: 4096 float16 numbers of unit length, little-endian.

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
    model_id = models.CharField(
        max_length=64, db_column="network", help_text="name, weights checksum and recipe version"
    )
    vector = models.BinaryField()
    fingerprint = models.BinaryField(null=True, help_text="perceptual hash: tells copies from others")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "model_id"], name="one_embedding_per_content_and_network")
        ]
        indexes = [models.Index(fields=["model_id", "id"], name="embeddings_in_order")]

    def __str__(self) -> str:
        return f"{self.model_id} of {self.image_id}"
