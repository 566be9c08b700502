"""The interface of readers: the size of a picture before any pixel is decoded, then its pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

# The orientation of Exif and TIFF, and the operation that makes the picture upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Box = tuple[int, int, int, int]
Info = dict[str | tuple[int, int], Any]  # as Pillow has it
Rows = Callable[[int, int], Image.Image]  # the rows from the first to before the second, 8 bits a channel


@dataclass(frozen=True)
class Raster:
    """Pixels that a library other than Pillow decoded; they become Pillow pictures band by band.

    `info`: as in Pillow's pictures.
    """

    size: tuple[int, int]
    rows: Rows
    info: Info = field(default_factory=dict)

    def crop(self, box: Box) -> Image.Image:
        """Return that part of the picture."""
        left, top, right, bottom = box
        band = self.rows(top, bottom)
        return band if right - left == self.size[0] else band.crop((left, 0, right, bottom - top))


Source = Image.Image | Raster


class Reader(Protocol):
    """A picture file with its header read."""

    @property
    def size(self) -> tuple[int, int]:
        """Return the size as its pixels are stored."""

    @property
    def turn(self) -> Image.Transpose | None:
        """Return what makes the loaded pixels upright."""

    def most_pixels(self, factor: int) -> int:
        """Return how many pixels such a picture may have, made `factor` times smaller. A senseless header raises."""

    def load(self, factor: int) -> Source:
        """Decode the pixels, smaller where the codec can. May raise any exception on bad bytes."""
