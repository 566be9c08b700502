"""Read with tifffile the kinds of TIFF that Pillow reads wrong or not at all."""

import io
import math
from typing import TYPE_CHECKING, Any, cast

from PIL import ExifTags, Image, TiffImagePlugin

from engine.errors import BadImage
from engine.images.limits import MAX_DECODING_BYTES
from engine.images.rasters import TURNS, Raster

if TYPE_CHECKING:  # numpy and tifffile take 120 MB of addresses and 0.2 s, for files that few people send
    import numpy as np
    from numpy.typing import NDArray
    from tifffile import TiffPage

    Numbers = NDArray[Any]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5  # photometric interpretations
_MODES = {_WHITE_IS_ZERO: "L", _BLACK_IS_ZERO: "L", _RGB: "RGB", _CMYK: "CMYK"}
_UNSIGNED, _UNDEFINED = 1, 4  # sample formats
_ASSOCIATED, _UNASSOCIATED = 1, 2  # extra samples: alpha, with and without the colours multiplied by it
_CONTIGUOUS, _RAW = 1, 1  # planar configuration, compression
_NODATA = 42113  # GDAL's tag for the number that stands for no value
# Integers of more bits and floating point do not say what their white is.
_MOST_BITS_TO_WHITE = 24
_WHITES = (1.0, 127.0, 255.0, 1023.0, 4095.0, 16383.0, 32767.0, 65535.0, 2.0**24 - 1, 2.0**31 - 1, 2.0**32 - 1)
_OUTLIERS = 5  # percent of the numbers that may be above white, or below black
_SAMPLED = 2**18  # numbers that the percentiles are taken from
_MADE_BYTES = 8.0  # of Pillow's picture and of the one that is turned upright


def is_for_pillow(data: bytes) -> bool:
    """Tell whether Pillow reads such a TIFF right: up to 8 bits a channel, and the plain kinds of 16."""
    if data.startswith(b"MM\0+"):  # Pillow reads BigTIFF only in the other byte order
        return False
    head = data[:16] if data.startswith(b"II+\0") else data[:8]
    tags = TiffImagePlugin.ImageFileDirectory_v2(head)
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    bits = set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    formats = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (_UNSIGNED,)))
    if not formats <= {_UNSIGNED, _UNDEFINED} or _NODATA in tags:
        return False
    if max(bits) <= 8:
        return True
    photometric, samples = tags.get(262), tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    is_contiguous = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, _CONTIGUOUS) == _CONTIGUOUS
    is_plain = (photometric, samples) in {(_BLACK_IS_ZERO, 1), (_RGB, 3), (_RGB, 4), (_CMYK, 4)}
    return bits == {16} and is_plain and (is_contiguous or samples == 1)


class TiffReader:
    """A `Reader` of the other kinds. Raises BadImage `unsupported_format` for unknown kinds."""

    def __init__(self, data: bytes) -> None:
        from tifffile import TiffFile, TiffPage

        page = TiffFile(io.BytesIO(data)).pages[0]
        if not isinstance(page, TiffPage):
            raise TypeError(page)
        self._page = page
        self.size = page.imagewidth, page.imagelength
        self.turn = TURNS.get(_value(page, ExifTags.Base.Orientation, 1))
        photometric, sample = int(page.photometric), page.bitspersample
        if photometric not in _MODES or not isinstance(sample, int) or page.dtype is None:
            kind = f"{getattr(page.photometric, 'name', page.photometric)} with {page.bitspersample} bits a channel"
            raise BadImage(
                "unsupported_format",
                f"TIFF files of this kind ({kind}) are not read here; save it with RGB colours and send the new file.",
            )
        self._mode = _MODES[photometric]

    def most_pixels(self, factor: int) -> int:
        """Return how many pixels such a picture may have, made `factor` times smaller."""
        page = self._page
        bytes_a_pixel = page.samplesperpixel * cast("np.dtype[Any]", page.dtype).itemsize
        strip = page.tilewidth * page.tilelength if page.is_tiled else page.imagewidth * page.rowsperstrip
        share = 0.0 if page.compression == _RAW else min(1.0, strip / max(1, self.size[0] * self.size[1]))
        return int(MAX_DECODING_BYTES / (bytes_a_pixel * (1 + share) + _MADE_BYTES / factor**2))

    def load(self, factor: int) -> Raster:
        """Decode all numbers; they become 8 bits a channel band by band."""
        page = self._page
        numbers = page.asarray(squeeze=False, maxworkers=1)  # planes, depth, rows, columns, samples
        height, width = numbers.shape[2:4]
        if numbers.shape[1] != 1 or (width, height) != self.size:
            raise ValueError(numbers.shape)
        pixels = numbers[:, 0].transpose(1, 2, 0, 3).reshape(height, width, -1) if len(numbers) > 1 else numbers[0, 0]
        bands = _Bands(pixels, self._mode, page)
        profile = _value(page, TiffImagePlugin.ICCPROFILE, b"")
        return Raster(self.size, bands.rows, {"icc_profile": bytes(profile)} if profile else {})


class _Bands:
    """Converts numbers of any kind to 8 bits a channel, on white; no value (NaN, GDAL's nodata) becomes white."""

    def __init__(self, numbers: "Numbers", mode: str, page: "TiffPage") -> None:
        self._numbers, self._mode, self._channels = numbers, mode, len(Image.new(mode, (1, 1)).getbands())
        if numbers.shape[2] < self._channels:
            raise ValueError(numbers.shape)
        extra = page.extrasamples[0] if page.extrasamples and numbers.shape[2] > self._channels else 0
        self._alpha = int(extra) if extra in (_ASSOCIATED, _UNASSOCIATED) else 0
        self._is_negative = page.photometric == _WHITE_IS_ZERO
        self._nodata = float(page.nodata) if _NODATA in page.tags else math.nan
        self._black, self._white = self._range(page)

    def rows(self, top: int, bottom: int) -> Image.Image:
        """Return the rows from `top` to before `bottom`."""
        import numpy as np

        with np.errstate(all="ignore"):
            band = self._scaled(self._numbers[top:bottom])
        pixels = np.multiply(band, 255, out=band).round().astype(np.uint8)
        return Image.frombytes(self._mode, (self._numbers.shape[1], bottom - top), pixels.tobytes())

    def _scaled(self, numbers: "Numbers") -> "Numbers":
        """Colours of 0 to 1."""
        import numpy as np

        paper = 0 if self._mode == "CMYK" else 1
        colours = numbers[..., : self._channels].astype(np.float32)
        nothing = (np.isnan(colours) | (numbers[..., : self._channels] == self._nodata)).any(axis=-1)
        colours -= self._black
        colours /= self._white - self._black
        np.clip(colours, 0, 1, out=colours)
        if self._is_negative:
            np.subtract(1, colours, out=colours)
        if self._alpha:
            opaque = 1.0 if self._numbers.dtype.kind == "f" else self._white
            alpha = np.clip(numbers[..., self._channels, None].astype(np.float32) / opaque, 0, 1)
            if self._alpha == _UNASSOCIATED:
                colours *= alpha
            colours += paper * (1 - alpha)
            np.clip(colours, 0, 1, out=colours)
        colours[nothing] = paper
        return colours

    def _range(self, page: "TiffPage") -> tuple[float, float]:
        """Return the numbers of black and white."""
        import numpy as np

        if page.sampleformat in (_UNSIGNED, _UNDEFINED) and page.bitspersample <= _MOST_BITS_TO_WHITE:
            return 0.0, 2.0**page.bitspersample - 1
        step = math.ceil(math.sqrt(max(1, self._numbers.size / _SAMPLED)))
        sample = self._numbers[::step, ::step, : self._channels].astype(np.float64)
        sample = sample[np.isfinite(sample) & (sample != self._nodata)]
        low, high = np.percentile(sample, (_OUTLIERS, 100 - _OUTLIERS)) if sample.size else (0.0, 1.0)
        # A usual white point that no number exceeds, or the largest number itself if it is far below.
        reach = max(high, -low)
        white = next((white for white in _WHITES if reach <= white), reach)
        if 0 < reach < (1 / 64 if white == 1 else white / 4):
            white = reach
        return (-white if low < -white / 20 else 0.0), white


def _value(page: "TiffPage", number: int, default: Any) -> Any:
    tag = page.tags.get(number)
    return tag.value if tag else default
