"""Results of analyses of the whole gallery, and the decisions of curators about them."""

from typing import Any

from django.db import models
from django.utils import timezone

from gallery.models.images import Image, ImageQuerySet
from gallery.text import LONGEST_LABEL


class Analysis(models.Model):
    """An analysis of the whole gallery, one row per kind. Its state changes only in `gallery.insight.analyses`."""

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
        """Tell whether it waits or runs."""
        return self.state in {self.State.WAITING, self.State.RUNNING}


class Decision(models.Model):
    """A curator's decision about pictures, so that later analyses do not repeat the question."""

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
