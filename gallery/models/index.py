"""Index generations, and the thresholds of a model."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class GenerationManager(models.Manager["IndexGeneration"]):
    """Leaves out the PCA, which is only read when a generation is opened; the rest is read before every batch."""

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
    model_id = models.CharField(max_length=64, db_column="network", help_text="as in Embedding.model_id")
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
    is_rebuild_requested = models.BooleanField(
        null=True, help_text="a person wants a newer one in its place; empty otherwise"
    )

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
        """Tell whether new embeddings are added to it (Milvus); Annoy's files never change."""
        return bool(self.manifest.get("engine") == "milvus")


class Calibration(models.Model):
    """The thresholds of a model in this gallery, as `manage.py calibrate --write` measured them."""

    model_id = models.CharField(max_length=64, unique=True, db_column="network", help_text="as in Embedding.model_id")
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
        return f"thresholds of {self.model_id}"
