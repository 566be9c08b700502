"""Decode large HEIC, WebP and AVIF once and shrink them band by band; Pillow would copy them several times."""

import io

from PIL import Image

from engine.images import isobmff
from engine.images.rasters import Raster, Rows

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
        bytes_a_pixel = {"HEIF": _HEIC, "WEBP": _WEBP}.get(self._format or "")
        if bytes_a_pixel is None:
            # AVIF's planes, twice because there may be film grain, and the pixels; measured half a byte above that.
            av1 = isobmff.av1(io.BytesIO(self._data))
            planes = 1 + av1.chroma + (self._channels == 4)
            bytes_a_pixel = (2 * planes + self._channels) * (2 if av1.bits > 8 else 1) + 0.5
        return int(_MAX_BYTES / (bytes_a_pixel + _MADE_BYTES / factor**2))

    def load(self, factor: int) -> Raster:
        """Decode the picture."""
        rows = self._heic() if self._format == "HEIF" else self._by_imagecodecs()
        return Raster(self.size, rows, self._info)

    def _heic(self) -> Rows:
        import pillow_heif

        file = pillow_heif.open_heif(io.BytesIO(self._data), convert_hdr_to_8bit=True, remove_stride=False)
        image = file[file.primary_index]
        pixels, stride, mode = memoryview(image.data), image.stride, image.mode
        if image.size != self.size:
            raise ValueError(image.size)

        def rows(top: int, bottom: int) -> Image.Image:
            band = bytes(pixels[top * stride : bottom * stride])
            return Image.frombytes(mode, (self.size[0], bottom - top), band, "raw", mode, stride, 1)

        return rows

    def _by_imagecodecs(self) -> Rows:
        import imagecodecs
        import numpy as np  # 120 MB of addresses and 0.1 s

        if self._format == "WEBP":
            numbers = imagecodecs.webp_decode(self._data)
        else:
            numbers = imagecodecs.avif_decode(self._data, index=0, numthreads=1)
            if numbers.dtype == np.uint16:
                numbers >>= isobmff.av1(io.BytesIO(self._data)).bits - 8
        height, width, channels = (*numbers.shape, 1)[:3]
        if (width, height) != self.size:
            raise ValueError(numbers.shape)
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]

        def rows(top: int, bottom: int) -> Image.Image:
            return Image.frombytes(mode, (width, bottom - top), numbers[top:bottom].astype("uint8").tobytes())

        return rows
