"""Delete the files of a deleted row, however it was deleted (admin, command, expiry)."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from gallery.curation import parts
from gallery.models import Image, Query, QueryPart, ZipImport
from gallery.storage import files


@receiver(post_delete, sender=Image)
def remove_image_files(instance: Image, **_: Any) -> None:
    """Delete the files of a deleted gallery picture."""
    stored = instance.files
    transaction.on_commit(lambda: files.remove(*stored))


@receiver(post_delete, sender=ZipImport)
def remove_archive(instance: ZipImport, **_: Any) -> None:
    """Delete the parts of a deleted archive; `prune` finds those of a storage that is away."""
    prefix = instance.parts_prefix
    transaction.on_commit(lambda: parts.remove(prefix), robust=True)


@receiver(post_delete, sender=Query)
@receiver(post_delete, sender=QueryPart)
def remove_query_files(instance: Query | QueryPart, **_: Any) -> None:
    """Delete the files of a deleted query, or of a part of one."""
    stored = (instance.picture_file, instance.upload_file)
    transaction.on_commit(lambda: files.remove(*stored))
