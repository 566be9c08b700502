"""Altered copies of a picture have fingerprints that agree; other pictures have not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from engine.images.fingerprints import BYTES, WITHOUT, agree, fingerprint, stacked


def scene(seed: int) -> Image.Image:
    """Draw soft blotches with a few shapes, different for each seed."""
    random = np.random.default_rng(seed)
    picture = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((224, 224), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y, size = random.integers(0, 200, 3)
        draw.ellipse((x, y, x + size / 3, y + size / 3), fill=tuple(random.integers(0, 256, 3).tolist()))
    return picture


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file)


def bannered(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    ImageDraw.Draw(copy).rectangle((0, 200, 224, 224), fill="black")
    return copy


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda picture: picture,
    "JPEG quality 30": compressed,
    "half size": lambda picture: picture.resize((112, 112)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "mirrored": ImageOps.mirror,
    "banner": bannered,
}


def agreement(one: Image.Image, other: Image.Image) -> bool:
    rows = stacked([fingerprint(one), fingerprint(other)])
    return bool(agree(rows[:1], rows[1:])[0, 0])


@pytest.mark.parametrize("name", ALTERATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_an_altered_copy_agrees(name: str, seed: int) -> None:
    assert agreement(scene(seed), ALTERATIONS[name](scene(seed)))


def test_a_mirrored_picture_on_plain_white_agrees() -> None:
    picture = Image.new("RGB", (224, 224), "white")
    ImageDraw.Draw(picture).polygon([(20, 200), (60, 30), (180, 200)], fill="navy")
    assert agreement(picture, ImageOps.mirror(picture))


def test_other_pictures_do_not_agree() -> None:
    rows = stacked([fingerprint(scene(seed)) for seed in range(40)])
    assert (agree(rows, rows) == np.eye(40, dtype=bool)).all()


def test_agreement_is_symmetric() -> None:
    pictures = [scene(1), ImageOps.mirror(scene(1)), scene(2), ImageOps.mirror(scene(3))]
    rows = stacked([fingerprint(picture) for picture in pictures])
    assert (agree(rows, rows) == agree(rows, rows).T).all()


def test_a_missing_fingerprint_and_one_of_plain_white_agree_with_nothing() -> None:
    white = fingerprint(Image.new("RGB", (224, 224), "white"))
    rows = stacked([fingerprint(scene(1)), WITHOUT, white])
    assert agree(rows, rows).tolist() == [[True, False, False], [False] * 3, [False] * 3]
    assert stacked([]).shape == (0, BYTES)


def test_copies_of_photographs_agree(shared_photos: Path) -> None:
    photos = [Image.open(path).convert("RGB") for path in sorted(shared_photos.glob("*/*"))[::60]]
    shares = [agreement(photo, change(photo)) for photo in photos for change in ALTERATIONS.values()]
    assert np.mean(shares) >= 0.97
