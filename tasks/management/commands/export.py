"""manage.py export DIR: write the gallery as files for other programs."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from engine.networks.registry import EMBEDDING_SIZE
from gallery import persistence
from gallery.curation.folders import image_table
from gallery.curation.progress import Progress
from gallery.index import generations
from gallery.models import Embedding, Image

STEP = 200


class Command(BaseCommand):
    help = "Write the gallery into a new folder: pictures, a table of them (images.csv), embeddings (NumPy)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, metavar="DIR", help="a folder that is empty or not there yet")

    def handle(self, *, directory: Path, **_: Any) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            is_empty = not any(directory.iterdir())
        except OSError as error:
            raise CommandError(f"{directory} cannot be written ({error.strerror}).") from error
        if not is_empty:
            raise CommandError(f"{directory} is not empty; name a new folder.")
        try:
            written, ids = self._write(directory)
        except (OSError, DatabaseError) as error:
            reason = persistence.reason(error)
            raise CommandError(f"{reason}. {directory} is not complete: delete it and try again.") from error
        except KeyboardInterrupt:
            raise CommandError(f"Stopped; {directory} is not complete.", returncode=130) from None
        self.stdout.write(f"{written} pictures and {ids} embeddings written to {directory}.")

    def _write(self, directory: Path) -> tuple[int, int]:
        model_id, written = generations.active_model_id() or "", 0
        ids: list[str] = []
        (directory / "pictures").mkdir()
        pks = list(Image.objects.exclude(is_pending=True).order_by("created_at", "pk").values_list("pk", flat=True))
        with (
            (directory / image_table.NAME).open("x", encoding="utf-8", newline="") as table,
            (directory / "embeddings.npy").open("xb") as vectors,
            Progress(len(pks), "Exporting", "picture") as progress,
        ):
            image_table.write_head(table)
            _write_head(vectors, 0)
            for start in range(0, len(pks), STEP):
                rows = Image.objects.filter(pk__in=pks[start : start + STEP]).order_by("created_at", "pk")
                images = [image for image in rows if _write_picture(image, directory, table)]
                ids += _write_vectors(images, model_id, vectors)
                written += len(images)
                progress.advance(len(pks[start : start + STEP]))
            _write_head(vectors, len(ids))
        (directory / "embeddings.json").write_text(json.dumps({"model": model_id, "ids": ids}, indent=1))
        return written, len(ids)


def _write_picture(image: Image, directory: Path, table: TextIO) -> bool:
    """Copy a picture and add its row; returns whether it still exists."""
    name = f"pictures/{image.pk}.jpg"
    try:
        (directory / name).write_bytes(image.picture_file.read_bytes())
    except FileNotFoundError:
        (directory / name).unlink(missing_ok=True)
        return False
    image_table.write_row(table, image, name)
    return True


def _write_vectors(images: list[Image], model_id: str, file: BinaryIO) -> list[str]:
    """Append the existing embeddings; returns the ids of their pictures."""
    rows = Embedding.objects.filter(model_id=model_id, image__in=images).values_list("image__pk", "vector")
    found = {pk: bytes(vector) for pk, vector in rows}
    embedded = [image.pk for image in images if image.pk in found]
    file.writelines(found[pk] for pk in embedded)
    return [str(pk) for pk in embedded]


def _write_head(file: BinaryIO, count: int) -> None:
    """Write the header of a .npy file; NumPy leaves room in it for a larger count."""
    file.seek(0)
    head = {"descr": "<f2", "fortran_order": False, "shape": (count, EMBEDDING_SIZE)}
    np.lib.format.write_array_header_1_0(file, head)
