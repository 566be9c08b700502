"""Pictures for the tests: those of the demo gallery, and as many others as a test wants, made from them."""

import io
import random
from pathlib import Path

from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent.parent / "gallery" / "demo"
KINDS = sorted(folder.name for folder in FOLDER.iterdir())
PER_KIND = 15


def picture(kind: str, number: int) -> Image.Image:
    """Return picture `number` of a kind, always the same one, in RGB: of the demo gallery up to 14, a new one above."""
    return _of_the_gallery(kind, number) if number < PER_KIND else _montage(kind, number)


def jpeg(kind: str, number: int) -> bytes:
    """Return that picture as a JPEG file."""
    picture(kind, number).save(file := io.BytesIO(), "JPEG", quality=92)
    return file.getvalue()


def jpegs(count: int) -> list[bytes]:
    """Return that many JPEG files that the gallery does not have, of all kinds."""
    return [jpeg(KINDS[number % len(KINDS)], 100 + number) for number in range(count)]


def write_gallery(directory: Path, per_kind: int = 3) -> Path:
    """Fill a folder with the first pictures of each kind, in a sub-folder for each label."""
    for kind in KINDS:
        folder = directory / kind.replace(" ", "-")
        folder.mkdir(parents=True)
        for number in range(per_kind):
            (folder / f"{number}.jpg").write_bytes(jpeg(kind, number))
    return directory


def _of_the_gallery(kind: str, number: int) -> Image.Image:
    with Image.open(FOLDER / kind / f"{kind.capitalize()} {number + 1}.webp") as file:
        return file.convert("RGB")


def _montage(kind: str, number: int) -> Image.Image:
    """Paste a part of any picture over a part of one of this kind.

    Such pictures are no near-duplicates of each other or of the gallery: of 640, no cosine was above 0.88.
    """
    rng = random.Random(f"{kind} {number}")
    width, height = rng.choice([(480, 360), (400, 400), (360, 480)])
    montage = _part(_of_the_gallery(kind, number % PER_KIND), rng).resize((width, height))
    inset = _part(_of_the_gallery(rng.choice(KINDS), rng.randrange(PER_KIND)), rng)
    place = rng.randrange(width // 2), rng.randrange(height // 2)
    montage.paste(inset.resize((width // 2, height // 2)), place)
    return montage


def _part(picture: Image.Image, rng: random.Random) -> Image.Image:
    share = rng.uniform(0.6, 0.9)
    width, height = (int(side * share) for side in picture.size)
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    part = picture.crop((left, top, left + width, top + height))
    return ImageOps.mirror(part) if rng.random() < 0.5 else part
