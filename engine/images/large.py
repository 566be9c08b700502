"""Decode large HEIC, WebP and AVIF once and shrink them band by band; Pillow would copy them several times."""

import io
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from engine.images import isobmff
from engine.images.rasters import Raster

if TYPE_CHECKING:  # numpy takes 120 MB of addresses and 0.1 s
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

# With the current band 250 MB: 48 megapixels of HEIC, 24 of WebP and AVIF, as phones write them.
_MAX_BYTES = 240_000_000
# Bytes a pixel while the codec runs, measured: HEIC of 8 bits, 4:2:0; WebP without loss.
_HEIC, _WEBP = 4.8, 8.5
_MADE_BYTES = 4.0  # a pixel of the resulting picture
_ANIMATED = 0x02


def is_for_large(picture: Image.Image, data: bytes) -> bool:
    """Tell whether `LargeReader` needs less memory for such a picture than Pillow."""
    if picture.format == "HEIF":
        return picture.info.get("bit_depth") == 8 and picture.info.get("chroma") == 420 and picture.mode == "RGB"
    if picture.format == "WEBP":
        return not (data[12:16] == b"VP8X" and data[20] & _ANIMATED)
    return picture.format == "AVIF"


class LargeReader:
    """A `Reader` of a picture that Pillow has opened, and has no room for."""

    def __init__(self, picture: Image.Image, data: bytes, turn: Image.Transpose | None) -> None:
        self.size, self.turn = picture.size, turn
        self._data, self._format, self._info = data, picture.format, dict(picture.info)
        self._channels = len(picture.getbands())

    def most_pixels(self, factor: int) -> int:
        """Return how many pixels such a picture may have, made `factor` times smaller."""
        bytes_a_pixel = {"HEIF": _HEIC, "WEBP": _WEBP}.get(self._format or "") or self._avif_bytes()
        return int(_MAX_BYTES / (bytes_a_pixel + _MADE_BYTES / factor**2))

    def load(self, factor: int) -> Raster:
        """Decode the picture."""
        rows = self._heic() if self._format == "HEIF" else self._by_imagecodecs()
        return Raster(self.size, rows, self._info)

    def _avif_bytes(self) -> float:
        """Return the planes, twice because there may be film grain, and the pixels; measured half a byte above that."""
        av1 = isobmff.av1(io.BytesIO(self._data))
        planes = 1 + av1.chroma + (self._channels == 4)
        return (2 * planes + self._channels) * (2 if av1.bits > 8 else 1) + 0.5

    def _heic(self) -> partial[Image.Image]:
        import pillow_heif

        file = pillow_heif.open_heif(io.BytesIO(self._data), convert_hdr_to_8bit=True, remove_stride=False)
        image = file[file.primary_index]
        pixels = image.data
        if image.size != self.size:
            raise ValueError(image.size)
        return partial(_rows, memoryview(pixels), image.stride, image.mode, self.size[0])

    def _by_imagecodecs(self) -> partial[Image.Image]:
        import imagecodecs
        import numpy as np

        if self._format == "WEBP":
            numbers = imagecodecs.webp_decode(self._data)
        else:
            numbers = imagecodecs.avif_decode(self._data, index=0, numthreads=1)
            if numbers.dtype == np.uint16:
                numbers >>= isobmff.av1(io.BytesIO(self._data)).bits - 8
        height, width, channels = (*numbers.shape, 1)[:3]
        if (width, height) != self.size:
            raise ValueError(numbers.shape)
        return partial(_rows_of_numbers, numbers, {1: "L", 3: "RGB", 4: "RGBA"}[channels])


def _rows(pixels: memoryview, stride: int, mode: str, width: int, top: int, bottom: int) -> Image.Image:
    band = bytes(pixels[top * stride : bottom * stride])
    return Image.frombytes(mode, (width, bottom - top), band, "raw", mode, stride, 1)


def _rows_of_numbers(numbers: "Numbers", mode: str, top: int, bottom: int) -> Image.Image:
    band = numbers[top:bottom].astype("uint8")
    return Image.frombytes(mode, (numbers.shape[1], bottom - top), band.tobytes())
