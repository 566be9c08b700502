"""Alterations of pictures, to measure the recognition of near-duplicates."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Picture = Image.Image


def compressed(picture: Picture) -> Picture:
    """Save it as JPEG of quality 30."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def halved(picture: Picture) -> Picture:
    """Resize it to half its width and height."""
    width, height = picture.size
    return picture.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS)


def cropped(picture: Picture) -> Picture:
    """Cut 5 % off its width and height, half of it on each side."""
    width, height = picture.size
    left, top = round(width * 0.025), round(height * 0.025)
    return picture.crop((left, top, width - left, height - top))


def brightened(picture: Picture) -> Picture:
    """Multiply its brightness by 1.3."""
    return ImageEnhance.Brightness(picture).enhance(1.3)


def rotated(picture: Picture) -> Picture:
    """Rotate it by 3 degrees about its centre; the corners become black."""
    return picture.rotate(3, Image.Resampling.BICUBIC)


def with_banner(picture: Picture) -> Picture:
    """Lay a white strip over its lowest tenth."""
    altered = picture.copy()
    width, height = picture.size
    ImageDraw.Draw(altered).rectangle((0, height - max(1, height // 10), width, height), fill="white")
    return altered


ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "JPEG quality 30": compressed,
    "half size": halved,
    "5 % cropped": cropped,
    "brightness x 1.3": brightened,
    "mirrored": ImageOps.mirror,
    "rotated by 3°": rotated,
    "with a banner": with_banner,
}
