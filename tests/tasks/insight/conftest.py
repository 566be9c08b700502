"""Real photographs with planted duplicates and wrong labels."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

from engine.networks.embedder import Embedder
from gallery.models import Image
from tasks.indexing.build import build_generation
from tasks.indexing.embedding import embed_step
from tests.gallery.rows import add_file

PER_LABEL, DUPLICATES, MISLABELS = 16, 40, 20
# What people do to pictures: save again, scale, cut, mirror, brighten.
CHANGES: list[Callable[[Pillow.Image], Pillow.Image]] = [
    lambda picture: picture,
    lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    lambda picture: picture.crop((picture.width // 40, picture.height // 40, picture.width, picture.height)),
    ImageOps.mirror,
    lambda picture: ImageEnhance.Brightness(picture).enhance(1.25),
]


@dataclass(frozen=True)
class Planted:
    """The pictures of the gallery that a test put there: pairs of duplicates, and pictures with their true labels."""

    duplicates: list[frozenset[Image]]
    mislabels: dict[Image, str]


def changed(path: Path, number: int) -> bytes:
    with Pillow.open(path) as picture:
        made = CHANGES[number % len(CHANGES)](picture.convert("RGB"))
    made.save(file := io.BytesIO(), "JPEG", quality=40 if number % len(CHANGES) == 0 else 85)
    return file.getvalue()


@pytest.fixture
def planted(db: None, shared_photos: Path, embedder: Embedder) -> Planted:
    """Return an indexed gallery of PER_LABEL photographs a label, and what was planted among them."""
    random_ = random.Random(22)
    folders = sorted(folder for folder in shared_photos.iterdir() if folder.is_dir())
    paths = [path for folder in folders for path in random_.sample(sorted(folder.glob("*.jpg")), PER_LABEL)]
    chosen = random_.sample(paths, DUPLICATES + MISLABELS)
    wrong = {path: random_.choice([one.name for one in folders if one != path.parent]) for path in chosen[DUPLICATES:]}
    rows = {
        path: add_file(
            path.read_bytes(),
            label=wrong.get(path, path.parent.name),
            title=f"{path.parent.name} {path.stem.removeprefix('image_').lstrip('0')}",
        )
        for path in paths
    }
    copies = {
        path: add_file(changed(path, number), label=path.parent.name, title="copy")
        for number, path in enumerate(chosen[:DUPLICATES])
    }
    while embed_step(embedder, 32):
        pass
    build_generation(embedder.model_id)
    return Planted(
        [frozenset({rows[path], copy}) for path, copy in copies.items()],
        {rows[path]: path.parent.name for path in wrong},
    )
