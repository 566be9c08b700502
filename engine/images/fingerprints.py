"""Fingerprints of pictures: which of two similar pictures is an altered copy of the other.

Two photographs of one thing can have as high a cosine as a photograph and its cropped copy. Their difference hashes
tell them apart (`imagehash.dhash`, 16 x 16 bits of the centre square).
"""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 16
HASH_BYTES = SIDE * SIDE // 8
BYTES = 2 * HASH_BYTES  # of the picture, and of the mirrored picture
# Of 256. Photographs and their copies (JPEG quality 30, half size, 5 % cropped, brightness x 1.3, mirrored, rotated by
# 3 degrees, with a banner) differ in at most 56 in 0.98 of all cases; other pictures of a cosine above 0.80 differ in
# more, but for 1 % (make bench-quality).
MAX_DIFFERENT_BITS = 56
WITHOUT = b""  # for a picture that has none

Fingerprints = NDArray[np.uint8]


def fingerprint(square: Image.Image) -> bytes:
    """Return the 64 bytes of the centre square of a picture: its hash, and the hash of its mirror image."""
    return b"".join(np.packbits(imagehash.dhash(one, SIDE).hash).tobytes() for one in (square, ImageOps.mirror(square)))


def stacked(fingerprints: list[bytes]) -> Fingerprints:
    """Return fingerprints as rows, uint8 [n, 64]; zeros for WITHOUT, as for a picture of one colour."""
    joined = b"".join(one if len(one) == BYTES else bytes(BYTES) for one in fingerprints)
    return np.frombuffer(joined, np.uint8).reshape(-1, BYTES)


def agree(some: Fingerprints, others: Fingerprints, most_bits: int = MAX_DIFFERENT_BITS) -> NDArray[np.bool_]:
    """Return [n, m]: which of uint8 [n, 64] and [m, 64] belong to copies of one picture, mirrored ones included.

    `most_bits`: in how many of 256 bits copies may differ. Zeros agree with nothing: they say nothing of a picture.
    """
    a, b = some.view(np.uint64)[:, None], others.view(np.uint64)[None]
    upright, mirrored = slice(0, HASH_BYTES // 8), slice(HASH_BYTES // 8, None)
    as_they_are = _different_bits(a[..., upright], b[..., upright])
    one_mirrored = np.minimum(
        _different_bits(a[..., upright], b[..., mirrored]), _different_bits(a[..., mirrored], b[..., upright])
    )
    agreeing: NDArray[np.bool_] = np.minimum(as_they_are, one_mirrored) <= most_bits
    agreeing[~some.any(axis=1)] = False
    agreeing[:, ~others.any(axis=1)] = False
    return agreeing


def is_mirrored(one: Fingerprints, other: Fingerprints) -> bool:
    """Tell whether the picture of uint8 [64] is more like the mirror image of the other than like the other itself."""
    a, b = one.view(np.uint64)[: HASH_BYTES // 8], other.view(np.uint64)
    as_it_is, mirrored = _different_bits(a, b[: HASH_BYTES // 8]), _different_bits(a, b[HASH_BYTES // 8 :])
    return bool(mirrored < as_it_is)


def _different_bits(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bitwise_count(a ^ b).sum(-1, dtype=np.int64)
    return counts
