"""A system worth a backup, and a look into the backup with Python's own tools."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType

from engine.networks.registry import Thresholds
from gallery.models import Embedding, Image
from gallery.queries import accept
from gallery.queries.accept import Parameters, Pictures
from gallery.timings import Stopwatch
from tasks.measuring.thresholds import store
from tests.engine.galleries import MODEL_ID, make_vectors
from tests.gallery.rows import add_image, ago, ask, finished, in_state

ODD_TITLE = 'Ünïcode, "quotes"\u2028and a line of its own\n'
PASSWORD = "correct horse battery staple"


def fill() -> None:
    """Pictures with embeddings, queries in every state, accounts with rights, what a curator did."""
    images = [add_image(number, label="odd" if number % 2 else "") for number in range(4)]
    hidden = add_image(4, title=ODD_TITLE, is_hidden=True)
    for image, vector in zip([*images, hidden], make_vectors(5).astype("<f2"), strict=True):
        Embedding.objects.create(image_id=image.content_hash, model_id=MODEL_ID, vector=vector.tobytes())
    gone = add_image(5)
    Embedding.objects.create(image_id=gone.content_hash, model_id="other", vector=bytes(range(256)) * 32)
    gone.delete()  # the ids have a gap
    store(MODEL_ID, Thresholds(same=0.9, very_similar=0.7, similar=0.5, duplicate=0.95), 6)
    finished(*images[:3], generation=7, stages_ms={"embed": 12.5})
    for state in ("done", "failed", "running"):
        in_state(state)
    accept.store(
        Pictures(like=[images[0]]), Parameters(k=3, labels=("odd",), crop=(0.1, 0.2, 0.3, 1 / 3)), Stopwatch(ago(1))
    )
    ask(6)
    curator = User.objects.create_superuser("curator", password=PASSWORD)
    group = Group.objects.create(name="curators")
    group.permissions.add(*Permission.objects.filter(content_type__app_label="gallery"))
    curator.groups.add(group)
    curator.user_permissions.add(Permission.objects.get(codename="delete_image"))
    kind = ContentType.objects.get_for_model(Image)
    LogEntry.objects.create(user=curator, content_type=kind, object_id=str(hidden.pk), action_flag=CHANGE)


def members(backup: Path) -> dict[str, bytes]:
    """Name and content of everything in the file."""
    with tarfile.open(backup, "r:") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def rows(backup: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table in the file."""
    parts = [data for name, data in members(backup).items() if name.startswith(f"rows/{table}/")]
    return [json.loads(line) for data in parts for line in gzip.decompress(data).splitlines()]
