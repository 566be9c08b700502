"""Untrusted bytes into a clean, upright RGB picture, and such a picture into a new JPEG file."""

import io
import math
from typing import cast

from PIL import ExifTags, Image, ImageCms

import engine.image_formats  # noqa: F401 (registers the readers)
from engine import image_memory
from engine.errors import BadImage
from engine.image_headers import (
    ALLOWED,
    check_bytes,
    check_costs,
    check_pixels,
    coded_size,
    too_costly,
    too_many_pixels,
)
from engine.image_headers import Crop as Crop
from engine.image_headers import Limits as Limits

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


DEFAULT_LIMITS = Limits()


def decode(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, at_least_px: int | None = None, within_px: int | None = None
) -> Image.Image:
    """The first picture in an untrusted file: upright, RGB, on white, in sRGB, without any metadata.

    With `at_least_px` it may come out smaller, its shorter side still at least that long (or as it was). With
    `within_px` its longer side is at most that long. Both are quicker, and save the second full-size copy that turning
    or compositing makes: JPEGs are decoded at the reduced scale that fits.

    Raises BadImage, and nothing else: `empty`, `too_large`, `unsupported_format`, `too_many_pixels` (from the
    header, before any pixel is decoded), `too_costly`, `corrupt`.
    """
    check_bytes(len(data), limits)
    try:
        picture = _open(data)
        scale = _scale(picture.size, at_least_px, within_px)
        most = min(limits.max_pixels, image_memory.most_pixels(picture, data, scale))
        for size in (picture.size, coded_size(io.BytesIO(data))):
            check_pixels(size, most, limits)
        upright = _upright_rgb(picture, scale)
        return upright if within_px is None else shrunk(upright, within_px)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(limits.max_pixels, limits) from error
    except Exception as error:  # decoders raise whatever the bytes make them raise
        raise (too_costly() if _is_out_of_memory(error) else _corrupt()) from error


def shrunk(picture: Image.Image, within_px: int) -> Image.Image:
    """The picture with its longer side at most that long; nothing is enlarged."""
    scale = within_px / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Half the time of LANCZOS, and as good where a picture is made little smaller: 5 ms of one of 1,008 pixels.
    return picture.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0)


def crop(picture: Image.Image, part: Crop) -> Image.Image:
    """That part of the picture, at least 1 x 1 pixel."""
    left, right = _span(part.x, part.w, picture.width)
    top, bottom = _span(part.y, part.h, picture.height)
    return picture.crop((left, top, right, bottom))


def square(picture: Image.Image, side_px: int, of_px: int) -> Image.Image:
    """The centre square of `side_px` of an RGB picture whose shorter side is resized to `of_px`."""
    side = min(picture.size) * (side_px / of_px)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def to_jpeg(picture: Image.Image, max_side_px: int, quality: int = 85) -> bytes:
    """A new JPEG file made from the pixels of an RGB picture and nothing else, its longer side that long at most."""
    file = io.BytesIO()
    _without_metadata(shrunk(picture, max_side_px)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _open(data: bytes) -> Image.Image:
    """The picture with its header read and no pixel decoded."""
    check_costs(io.BytesIO(data))
    if not image_memory.is_plain(data):
        raise too_costly()
    return Image.open(io.BytesIO(data), formats=tuple(ALLOWED))


def _scale(size: tuple[int, int], at_least_px: int | None, within_px: int | None) -> int:
    """How many times smaller the picture may be decoded."""
    if at_least_px:
        return max(1, min(size) // at_least_px)
    return max(1, max(size) // within_px) if within_px else 1


def _upright_rgb(picture: Image.Image, scale: int) -> Image.Image:
    wanted = tuple(max(1, side // scale) for side in picture.size)
    if scale > 1:
        picture.draft(None, wanted)  # type: ignore[arg-type]
    picture.load()
    factor = max(1, min(side // want for side, want in zip(picture.size, wanted, strict=True)))
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


def _is_out_of_memory(error: Exception) -> bool:
    """Codecs say it in words, Python by its class."""
    return isinstance(error, MemoryError) or "memory" in str(error).casefold()


def _corrupt() -> BadImage:
    return BadImage("corrupt", "The picture is damaged or incomplete; save it again and send the new file.")
