"""The pictures of a benchmark: real photographs, and the same as large as phones make them."""

import io
import random
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

SEED = 1
LARGE_PX = (4000, 3000)


@dataclass(frozen=True)
class Pictures:
    """`gallery`: a folder to import; `queries`: files that are not in it; `large`: some of these at 12 megapixels."""

    gallery: Path
    queries: Path
    large: Path


def split(directory: Path, photos: Path, gallery: int, queries: int = 0, large: int = 0) -> Pictures:
    """Choose photographs, always the same, and put them into folders below `directory`."""
    paths = sorted(photos.rglob("*.jpg"))
    if len(paths) < gallery + queries:
        raise SystemExit(f"{gallery + queries} photographs are needed and {photos} has {len(paths)}; name a folder.")
    random.Random(SEED).shuffle(paths)
    parts = Pictures(directory / "gallery", directory / "queries", directory / "large")
    for folder in (parts.gallery, parts.queries, parts.large):
        folder.mkdir(parents=True)
    for number, path in enumerate(paths[: gallery + queries]):
        folder = parts.gallery if number < gallery else parts.queries
        (folder / f"{number:05}.jpg").write_bytes(path.read_bytes())
    for path in sorted(parts.queries.iterdir())[:large]:
        (parts.large / path.name).write_bytes(enlarged(path))
    return parts


def read(folder: Path, count: int | None = None) -> list[bytes]:
    """Return the files of a folder, or `count` of them, each as often as needed."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    return files if count is None else list(islice(cycle(files), count))


def enlarged(path: Path) -> bytes:
    """Return the photograph at 4000 x 3000 pixels, as a JPEG of some 2 MB."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize(LARGE_PX, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()
