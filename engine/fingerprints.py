"""Fingerprints of pictures: which of two similar pictures is an altered copy of the other.

Two photographs of one thing can have as high a cosine as a photograph and its cropped copy. Their difference hashes
tell them apart (`imagehash.dhash`, 16 x 16 bits of the centre square).
"""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
BYTES = SIDE * SIDE // 8
# Of 256. Photographs and their copies (JPEG quality 30, half size, 5 % cropped, brightness x 1.3, mirrored, rotated by
# 3 degrees, with a banner) differ in up to 56 in 0.98 of all cases; other pictures of a cosine above 0.80 differ in
# more, but for 1 % (make bench-quality).
MAX_DIFFERENT_BITS = 56
WITHOUT = b""  # for a picture that has none

Fingerprints = NDArray[np.uint8]


def fingerprint(square: Image.Image) -> bytes:
    """Return the 32 bytes of the centre square of a picture."""
    return np.packbits(imagehash.dhash(square, SIDE).hash).tobytes()


def stacked(fingerprints: list[bytes]) -> tuple[Fingerprints, NDArray[np.bool_]]:
    """Return fingerprints as rows, uint8 [n, 32], and [n]: which of them there are (WITHOUT is not)."""
    known = np.array([len(one) == BYTES for one in fingerprints], np.bool_)
    joined = b"".join(one if len(one) == BYTES else bytes(BYTES) for one in fingerprints)
    return np.frombuffer(joined, np.uint8).reshape(-1, BYTES), known


def agree(some: Fingerprints, others: Fingerprints) -> NDArray[np.bool_]:
    """Return [n, m]: which of uint8 [n, 32] and [m, 32] belong to copies of one picture, mirrored ones included."""
    return np.minimum(_different(some, others), _different(_mirrored(some), others)) <= MAX_DIFFERENT_BITS


def _different(some: Fingerprints, others: Fingerprints) -> NDArray[np.int64]:
    a, b = some.view(np.uint64), others.view(np.uint64)
    counts: NDArray[np.int64] = np.bitwise_count(a[:, None] ^ b[None]).sum(2, dtype=np.int64)
    return counts


def _mirrored(fingerprints: Fingerprints) -> Fingerprints:
    """A bit says whether a pixel is darker than its right neighbour: mirrored, the opposite at the opposite place."""
    bits = np.unpackbits(fingerprints, axis=1).reshape(-1, SIDE, SIDE)
    return np.packbits(1 - bits[:, :, ::-1], axis=2).reshape(-1, BYTES)
