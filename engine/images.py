"""Untrusted bytes into a clean, upright RGB picture, and such a picture into a new JPEG file.

Only Pillow is imported here, because the web process imports this module.
"""

import io
import math
from dataclasses import dataclass, replace
from typing import cast

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from engine import image_headers
from engine.errors import BadImage
from engine.image_formats import ALLOWED, is_known_start

_BAND_PIXELS = 2**20
_WHITES = (1.0, 255.0, 65535.0)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """What is accepted: bytes of the file, pixels of the picture, pixels of its longer side.

    What needs much memory gets fewer pixels, so that none takes more than 250 MB (see `image_headers`): WebP 12.9
    million, AVIF 12.2, HEIC 24.7 (deep colours 14.1), a progressive JPEG with colours at full resolution 33 (CMYK
    25), a TIFF compressed in one strip 27.5 (16 bits a channel 18), and what is not reduced, because its shorter side
    is short or because nobody asked for it, 27.5.

    Above 178 million pixels Pillow's own limit (twice `Image.MAX_IMAGE_PIXELS`) holds as well. Frames need no
    limit: only the first is ever read, and files of a thousand open in milliseconds.
    """

    max_bytes: int = 16 * 2**20
    max_pixels: int = 50_000_000
    max_side_px: int = 20_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Crop:
    """A part of an upright picture, as fractions of its width and height, from the top left.

    Raises ValueError if it is empty or reaches outside.
    """

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        for start, length in ((self.x, self.w), (self.y, self.h)):
            # Written so that NaN fails; the slack is for fractions that were rounded as text.
            if not (0 <= start < 1 and length > 0 and start + length <= 1 + 1e-6):
                raise ValueError("The crop is empty or reaches outside; give fractions from 0 to 1.")


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS, *, at_least_px: int | None = None) -> Image.Image:
    """The first picture in an untrusted file: upright, RGB, on white, in sRGB, without any metadata.

    With `at_least_px` it may come out smaller, its shorter side still at least that long (or as it was).
    That is quicker, and saves the second full-size copy that turning or compositing makes.

    Raises BadImage, and nothing else: `empty`, `too_large`, `unsupported_format`, `too_many_pixels` (from the
    header, before any pixel is decoded), `corrupt`.
    """
    if not data:
        raise BadImage("empty", "The file is empty; choose a picture and send it again.")
    if len(data) > limits.max_bytes:
        most = f"{limits.max_bytes / 2**20:g} MB"
        raise BadImage("too_large", f"The file is larger than {most}; send a smaller one.")
    try:
        return _upright_rgb(_open(data, limits, at_least_px), at_least_px)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(limits) from error
    except Exception as error:  # decoders raise whatever the bytes make them raise
        raise _corrupt() from error


def crop(picture: Image.Image, part: Crop) -> Image.Image:
    """That part of the picture, at least 1 x 1 pixel."""
    left, right = _span(part.x, part.w, picture.width)
    top, bottom = _span(part.y, part.h, picture.height)
    return picture.crop((left, top, right, bottom))


def to_jpeg(picture: Image.Image, max_side_px: int, quality: int = 90) -> bytes:
    """A new JPEG file made from the pixels of an RGB picture, and from nothing else.

    The longer side is shrunk to `max_side_px` where it is longer; nothing is enlarged.
    """
    scale = max_side_px / max(picture.size)
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    _without_metadata(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _open(data: bytes, limits: Limits, at_least_px: int | None) -> Image.Image:
    """The picture with its header read and judged, and no pixel decoded."""
    if not image_headers.is_plain(data):
        raise _corrupt()
    try:
        picture = Image.open(io.BytesIO(data), formats=tuple(ALLOWED))
    except UnidentifiedImageError as error:
        raise (_corrupt() if is_known_start(data) else _unsupported()) from error
    most = min(limits.max_pixels, image_headers.most_pixels(picture, data, at_least_px))
    if picture.width * picture.height > most or max(picture.size) > limits.max_side_px:
        raise _too_many_pixels(replace(limits, max_pixels=most))
    return picture


def _upright_rgb(picture: Image.Image, at_least_px: int | None) -> Image.Image:
    if at_least_px:
        picture.draft(None, (at_least_px, at_least_px))
    picture.load()
    factor = max(1, min(picture.size) // at_least_px) if at_least_px else 1
    turn = _turn(picture)
    rgb = _to_rgb(picture, factor)
    del picture  # turning makes a copy, which shall be the second and not the third
    return rgb if turn is None else rgb.transpose(turn)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright. TIFF and HEIF readers have turned it already, and say so."""
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
        return None


def _to_rgb(picture: Image.Image, factor: int) -> Image.Image:
    """A picture `factor` times smaller, made band by band: only a band exists in several modes at once."""
    white = _white(picture)
    mode = _flat(picture.crop((0, 0, 1, 1)), white).mode
    transform = _srgb_transform(picture, mode)
    as_it_should_be = picture.mode == "RGB" and not picture.has_transparency_data and transform is None
    if as_it_should_be and factor == 1:
        return _without_metadata(picture)
    width, height = picture.size
    rows = factor * max(1, _BAND_PIXELS // (width * factor))
    rgb = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for top in range(0, height, rows):
        band = _flat(picture.crop((0, top, width, min(top + rows, height))), white).reduce(factor)
        coloured = transform.apply(band) if transform else band.convert("RGB")
        rgb.paste(coloured, (0, top // factor))
    return rgb


def _flat(band: Image.Image, white: float) -> Image.Image:
    """Opaque, 8 bits a channel, and in a mode whose pixels can be averaged: L, RGB or CMYK."""
    if band.mode == "F" or band.mode.startswith("I"):
        # Pillow's own conversion would clip: everything brighter than 255 of 65535 would be white.
        deep = band if band.mode == "F" else band.convert("I")
        return deep.point(lambda value: value * (255 / white) + 0.5).convert("L")
    if band.has_transparency_data:
        band = band.convert("RGBA")
        paper = Image.new("RGB", band.size, "white")
        paper.paste(band, mask=band)
        return paper
    return band if band.mode in ("L", "RGB", "CMYK") else band.convert("RGB")


def _white(picture: Image.Image) -> float:
    """The value that stands for white in a picture of more than 8 bits; 255 in any other."""
    if picture.mode not in ("I", "F"):
        return 65535.0 if picture.mode.startswith("I;16") else 255.0
    # Such TIFFs do not say what their white is: take the usual range that holds the brightest pixel.
    brightest = cast("float", picture.getextrema()[1])
    return next((white for white in _WHITES if brightest <= white), brightest)


def _srgb_transform(picture: Image.Image, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the picture's own colours to sRGB, or None where they are sRGB already or nobody can tell."""
    profile = picture.info.get("icc_profile", b"")
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # noqa: BLE001 - a broken profile costs exact colours, not the picture
        return None


def _without_metadata(picture: Image.Image) -> Image.Image:
    """The same pixels, not copied, and nothing else of the file. Pillow has no public way to do that."""
    picture.load()
    return Image.Image()._new(picture.im)


def _span(start: float, length: float, side_px: int) -> tuple[int, int]:
    first = min(int(start * side_px), side_px - 1)
    return first, max(first + 1, min(side_px, round((start + length) * side_px)))


def _unsupported() -> BadImage:
    *names, last = ALLOWED.values()
    kinds = f"{', '.join(names)} or {last}"
    return BadImage("unsupported_format", f"The file is not a picture that can be read here; send a {kinds}.")


def _too_many_pixels(limits: Limits) -> BadImage:
    most = f"{limits.max_pixels / 1e6:.3g} megapixels and {limits.max_side_px} pixels a side"
    return BadImage("too_many_pixels", f"The picture is too big; send one of at most {most}.")


def _corrupt() -> BadImage:
    return BadImage("corrupt", "The picture is damaged or incomplete; save it again and send the new file.")
