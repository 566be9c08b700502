"""A row that goes takes its files along, whoever deletes it (admin, command, expiry)."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from gallery import files
from gallery.models import Image, Query


@receiver(post_delete, sender=Image)
def remove_image_files(instance: Image, **_: Any) -> None:
    stored = (instance.picture_file, instance.thumbnail_file, instance.upload_file)
    transaction.on_commit(lambda: files.remove(*stored))


@receiver(post_delete, sender=Query)
def remove_query_files(instance: Query, **_: Any) -> None:
    stored = (instance.picture_file, instance.upload_file)
    transaction.on_commit(lambda: files.remove(*stored))
