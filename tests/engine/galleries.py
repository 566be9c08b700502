"""Vectors like those of a model: unit length, not negative, in clusters, far fewer directions than numbers."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.images.fingerprints import BYTES
from engine.index import build as building
from engine.index import manifest as manifests
from engine.index.manifest import Manifest
from engine.networks.registry import EMBEDDING_SIZE

MODEL_ID = "efficientnet_lite0-579344248a93-p1"


def make_vectors(count: int, seed: int = 7) -> NDArray[np.float32]:
    """Return float32 [count, 4096]; another seed gives other pictures of the same world."""
    world, random = np.random.default_rng(0), np.random.default_rng(seed)
    directions = np.maximum(world.standard_normal((48, EMBEDDING_SIZE), np.float32) - 0.8, 0)
    centres = np.maximum(world.standard_normal((40, 48), np.float32), 0)
    mixed = centres[random.integers(0, 40, count)] + 0.4 * random.standard_normal((count, 48), np.float32)
    return unit(np.maximum(mixed, 0) @ directions + 0.01)


def make_noise(count: int) -> NDArray[np.float32]:
    """Return vectors without any structure that a reduction could use."""
    return unit(np.random.default_rng(3).standard_normal((count, EMBEDDING_SIZE), np.float32))


def build(
    directory: Path, ids: Sequence[int] | NDArray[np.int64], vectors: NDArray[Any], model_id: str, **options: Any
) -> Manifest:
    """Build a generation of one block of vectors, without fingerprints."""
    block = vectors, np.zeros((len(vectors), BYTES), np.uint8)
    return building.build(directory, np.array(ids, np.int64), [block], model_id, **options)


def write_as_another_version(directory: Path, **more: int) -> None:
    """Give a generation the manifest of a version with another format (and with more fields), checksum and all."""
    path = directory / manifests.NAME
    fields = json.loads(path.read_bytes()) | {"format": manifests.FORMAT + 1} | more
    del fields["checksum"]
    path.write_text(_lines(fields | {"checksum": hashlib.sha256(_lines(fields).encode()).hexdigest()}))


def _lines(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=1, sort_keys=True) + "\n"


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring each row to unit length."""
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled
