"""The pictures of a benchmark: real photographs where there are some, drawn ones elsewhere."""

import io
import random
from dataclasses import dataclass
from pathlib import Path

from gallery import demonstration

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"
SEED = 1


@dataclass(frozen=True)
class Pictures:
    """`gallery`: a folder to import; `asked`: JPEG files that are not in it; `kind`: what they are, in words."""

    gallery: Path
    asked: list[bytes]
    kind: str


def some(directory: Path, gallery: int, asked: int, photos: Path = PHOTOS) -> Pictures:
    """Choose (always the same) pictures and put those of the gallery into `directory`."""
    real = sorted(photos.rglob("*.jpg"))
    if len(real) >= gallery + asked:
        random.Random(SEED).shuffle(real)
        files = [path.read_bytes() for path in real[: gallery + asked]]
        kind = "photographs"
    else:
        files = [_drawn(number) for number in range(gallery + asked)]
        kind = "drawn pictures"
    directory.mkdir(parents=True)
    for number, data in enumerate(files[:gallery]):
        (directory / f"{number:05}.jpg").write_bytes(data)
    return Pictures(directory, files[gallery:], kind)


def _drawn(number: int) -> bytes:
    kinds = list(demonstration.KINDS)
    file = io.BytesIO()
    demonstration.draw(kinds[number % len(kinds)], number // len(kinds)).save(file, "JPEG", quality=92)
    return file.getvalue()
