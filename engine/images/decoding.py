"""Decode untrusted bytes into a clean, upright RGB picture, and encode such a picture as a new JPEG file."""

import io
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from PIL import ExifTags, Image, ImageChops, ImageMath

import engine.images.formats  # noqa: F401 (registers the readers)
from engine.errors import BadImage
from engine.images import colours, large, memory, repair, tiff
from engine.images.headers import (
    ALLOWED,
    check_bytes,
    check_costs,
    check_pixels,
    coded_size,
    kind_of,
    too_costly,
    too_many_pixels,
)
from engine.images.headers import Crop as Crop
from engine.images.headers import Limits as Limits
from engine.images.rasters import TURNS, Reader, Source
from engine.images.repair import Repaired

LONG = 10  # a picture that is more than so many times as long as wide is shrunk less, see `decode`
_BAND_PIXELS = 2**20
# A picture that is shrunk only a little takes its memory beside the codec's, so it may have fewer pixels.
_LITTLE_SMALLER, _SHARE_OF_PIXELS = 2, 0.75
_DEEP_WHITE = 65535  # of a picture of 16 bits a channel
_INCOMPLETE = "simsearch_incomplete"  # a key of the info of a picture
DEFAULT_LIMITS = Limits()


def decode(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, at_least_px: int | None = None, within_px: int | None = None
) -> Image.Image:
    """Decode the first picture in an untrusted file: upright, RGB, on white, in sRGB, without any metadata.

    With `at_least_px` it may come out smaller, its shorter side still at least that long (or as it was). With
    `within_px` its longer side is at most that long; a picture more than LONG times as long as wide keeps a shorter
    side of a tenth of that (or as it was), because 20,000 x 20 pixels would become a line. Both are quicker, and save
    the second full-size copy that turning or compositing makes: JPEGs are decoded at the reduced scale that fits.

    Raises BadImage, and nothing else: `empty`, `too_large`, `unsupported_format`, `too_many_pixels` (from the
    header, before any pixel is decoded), `too_costly`, `corrupt`.
    """
    check_bytes(len(data), limits)
    try:
        return _decode(data, limits, at_least_px, within_px)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(limits.max_pixels, limits) from error
    except Exception as error:  # codecs raise any exception on bad bytes
        if isinstance(error, MemoryError) or "memory" in str(error).casefold():  # codecs report it in different ways
            raise too_costly() from error
        message = "The picture is damaged or incomplete; save it again and send the new file."
        raise BadImage("corrupt", message) from error


def is_incomplete(picture: Image.Image) -> bool:
    """Tell whether the file of a decoded picture ended too soon or held wrong checksums."""
    return _INCOMPLETE in picture.info


def shrunk(picture: Image.Image, within_px: int) -> Image.Image:
    """Shrink the picture until its longer side is at most that long; nothing is enlarged."""
    scale = within_px / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Half the time of LANCZOS, and as good for a small reduction: 5 ms for 1,008 pixels.
    return picture.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0)


def middle(picture: Image.Image, ratio: int) -> Image.Image:
    """Return the middle of a picture whose longer side is over `ratio` times the shorter one; others as they are."""
    longest = min(picture.size) * ratio
    width, height = (min(side, longest) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def crop(picture: Image.Image, part: Crop) -> Image.Image:
    """Cut out that part of the picture, at least 1 x 1 pixel."""
    left, right = _span(part.x, part.w, picture.width)
    top, bottom = _span(part.y, part.h, picture.height)
    return picture.crop((left, top, right, bottom))


def square(picture: Image.Image, side_px: int, of_px: int) -> Image.Image:
    """Cut the centre square of `side_px` out of an RGB picture whose shorter side is resized to `of_px`."""
    side = min(picture.size) * (side_px / of_px)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def to_jpeg(picture: Image.Image, max_side_px: int, quality: int = 85) -> bytes:
    """Make a new JPEG file from only the pixels of an RGB picture, its longer side at most that long."""
    file = io.BytesIO()
    _without_metadata(shrunk(picture, max_side_px)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _decode(data: bytes, limits: Limits, at_least_px: int | None, within_px: int | None) -> Image.Image:
    kind = kind_of(data[:64])
    check_costs(io.BytesIO(data))
    if not memory.is_plain(data):
        raise too_costly()
    try:
        repair.check_end(data)
        return _read(kind, data, limits, at_least_px, within_px)
    except (OSError, SyntaxError, ValueError):
        if (repaired := repair.repaired(data)) is None:
            raise
    picture = _read(kind, repaired.data, limits, at_least_px, within_px, repaired)
    picture.info[_INCOMPLETE] = True
    return picture


def _read(
    kind: str,
    data: bytes,
    limits: Limits,
    at_least_px: int | None,
    within_px: int | None,
    repaired: Repaired | None = None,
) -> Image.Image:
    def checked_reader() -> tuple[Reader, int]:
        reader, scale = _reader(kind, data, at_least_px, within_px)
        most = min(limits.max_pixels, reader.most_pixels(scale))
        for size in (reader.size, coded_size(io.BytesIO(data))):
            check_pixels(size, most, limits)
        return reader, scale

    upright = _upright_rgb(kind, data, checked_reader, repaired)
    if within_px is None:
        return upright
    return shrunk(upright, max(within_px, round(within_px / LONG * max(upright.size) / min(upright.size))))


def _reader(kind: str, data: bytes, at_least_px: int | None, within_px: int | None) -> tuple[Reader, int]:
    """Return what decodes the file, and how many times smaller the picture may be."""
    if kind == "TIFF" and not tiff.is_for_pillow(data):
        other = tiff.TiffReader(data)
        return other, _scale(other.size, at_least_px, within_px)
    picture = Image.open(io.BytesIO(data), formats=tuple(ALLOWED))
    pillow = _PillowReader(picture, data, is_shrunk=within_px is not None and max(picture.size) > within_px)
    scale = _scale(picture.size, at_least_px, within_px)
    pixels = picture.width * picture.height
    if large.is_for_large(picture, data) and pixels > pillow.most_pixels(scale):
        return large.LargeReader(picture, data, pillow.turn), scale
    return pillow, scale


class _PillowReader:
    """A `Reader` for almost all files."""

    def __init__(self, picture: Image.Image, data: bytes, *, is_shrunk: bool) -> None:
        self._picture, self._data, self._is_shrunk = picture, data, is_shrunk
        self.size = picture.size

    @property
    def turn(self) -> Image.Transpose | None:
        """TIFF and HEIF readers have turned it already when it is loaded, and say so."""
        try:
            return TURNS.get(self._picture.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
            return None

    def most_pixels(self, factor: int) -> int:
        most = memory.most_pixels(self._picture, self._data, factor)
        return int(most * _SHARE_OF_PIXELS) if self._is_shrunk and factor <= _LITTLE_SMALLER else most

    def load(self, factor: int) -> Image.Image:
        if factor > 1:
            self._picture.draft(None, _reduced(self.size, factor))
        self._picture.load()
        return self._picture


def _scale(size: tuple[int, int], at_least_px: int | None, within_px: int | None) -> int:
    """Return how many times smaller the picture may be decoded."""
    if at_least_px:
        return max(1, min(size) // at_least_px)
    return max(1, min(max(size), min(size) * LONG) // within_px) if within_px else 1


def _reduced(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return max(1, size[0] // factor), max(1, size[1] // factor)


def _upright_rgb(
    kind: str, data: bytes, open_reader: Callable[[], tuple[Reader, int]], repaired: Repaired | None
) -> Image.Image:
    reader, scale = open_reader()  # here, so that no caller keeps its memory alive
    source, wanted = reader.load(scale), _reduced(reader.size, scale)
    factor = max(1, min(side // want for side, want in zip(source.size, wanted, strict=True)))
    turn = reader.turn
    share = 1.0 if repaired is None else repaired.share
    if share is None:
        share = repair.share_of_jpeg(cast("Image.Image", source))
        repair.check_share(share)
    rgb = _to_rgb(kind, data, source, factor)
    if share < 1:  # as browsers show it
        rgb.paste("white", (0, math.floor(rgb.height * share), *rgb.size))
    del reader, source  # turning makes a copy: only two are in memory at a time
    return rgb if turn is None else rgb.transpose(turn)


# --- Colours --------------------------------------------------------------------------------------------------


def _to_rgb(kind: str, data: bytes, source: Source, factor: int) -> Image.Image:
    """Return a picture `factor` times smaller, made band by band: only a band exists in several modes at once."""
    flat, alpha = _plain(source.crop((0, 0, 1, 1)))
    convert = colours.converter(kind, data, source.info, flat.mode, partial(_brightest, source))
    is_opaque_rgb = isinstance(source, Image.Image) and source.mode == "RGB" and alpha is None
    if is_opaque_rgb and convert is colours.to_rgb and factor == 1:
        return _without_metadata(cast("Image.Image", source))
    width, height = source.size
    rgb = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for top, band in _bands(source, factor):
        flat, alpha = _plain(band)
        if alpha is None:
            reduced = convert(flat.reduce(factor))
        else:
            paper = Image.new("RGB", band.size, "white")
            paper.paste(convert(flat), mask=alpha)
            reduced = paper.reduce(factor)
        rgb.paste(reduced, (0, top // factor))
    return rgb


def _bands(source: Source, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    width, height = source.size
    rows = factor * max(1, _BAND_PIXELS // (width * factor))
    for top in range(0, height, rows):
        yield top, source.crop((0, top, width, min(top + rows, height)))


def _plain(band: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """8 bits a channel, in a mode whose pixels can be averaged (L, RGB or CMYK), and how opaque each pixel is."""
    if band.mode.startswith("I"):
        deep, opaque = band.convert("I"), None
        transparent = band.info.get("transparency")
        if isinstance(transparent, int):
            where = ImageMath.lambda_eval(lambda args: (args["deep"] != transparent) * 255, deep=deep)
            opaque = cast("Image.Image", where).convert("L")
        # Pillow's own conversion would clip: everything brighter than 255 of 65535 would be white.
        return deep.point(lambda value: value * (255 / _DEEP_WHITE) + 0.5).convert("L"), opaque
    if not band.has_transparency_data:
        return (band if band.mode in ("L", "RGB", "CMYK") else band.convert("RGB")), None
    rgba = band.convert("RGBA")
    is_grey = band.mode in ("L", "LA", "La", "1")
    return (rgba.getchannel("R") if is_grey else rgba.convert("RGB")), rgba.getchannel("A")


def _brightest(source: Source) -> float:
    """Return the code of 0 to 1 that one pixel of a thousand exceeds, in its brightest channel."""
    counts = [0] * 256
    for _, band in _bands(source):
        channels = _plain(band)[0].convert("RGB").split()
        most = ImageChops.lighter(ImageChops.lighter(*channels[:2]), channels[2])
        counts = [a + b for a, b in zip(counts, most.histogram(), strict=True)]
    few = sum(counts) / 1000
    return next((code for code in range(255, 0, -1) if sum(counts[code:]) > few), 0) / 255


def _without_metadata(picture: Image.Image) -> Image.Image:
    """Return only the pixels, not copied. Pillow has no public way to do that."""
    picture.load()
    return Image.Image()._new(picture.im)


def _span(start: float, length: float, side_px: int) -> tuple[int, int]:
    first = min(int(start * side_px), side_px - 1)
    return first, max(first + 1, min(side_px, round((start + length) * side_px)))
