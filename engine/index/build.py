"""Build a new index generation: write it to a temporary folder, sync it, rename it. It exists whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from annoy import AnnoyIndex
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.images.fingerprints import BYTES, Fingerprints
from engine.index import manifest as manifests
from engine.index.manifest import FILES, Manifest
from engine.index.pca import principal_components, reduced, unit
from engine.index.ranking import Vectors
from engine.index.tuning import TREES, tune
from engine.networks.registry import EMBEDDING_SIZE

DIMENSION = 128  # numbers that Annoy compares
SEED = 1  # one seed and one thread: the same gallery gives the same files
UNFINISHED = ".building-"
LENGTH_TOLERANCE = 0.01  # float16 changes a length by at most 0.0005

Block: TypeAlias = tuple[NDArray[np.floating[Any]], Fingerprints]
Progress: TypeAlias = Callable[[str, int, int], None]


def build(
    directory: Path,
    ids: NDArray[np.int64],
    blocks: Iterable[Block],
    model_id: str,
    *,
    target_recall: float = 0.99,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Write a generation to `directory`, which must not exist, and return its manifest.

    `ids`: [n], ascending. `blocks`: vectors [m, 4096] of unit length, float16 or float32, and fingerprints [m, 64], in
    the order of the ids; copied to disk one block at a time. `model_id`: of the model that made the vectors.
    `target_recall`: the share of the exact top ten that a search finds. `progress` is called with the name of a step,
    how much of it is done, and of how much.

    The build writes to a directory `.<name>.building-…` in the same folder and removes it on any error;
    `clean_leftovers` removes what a killed build left. Raises BadIndex (the disk is full, the directory
    exists, there are no pictures, ids or vectors cannot be used).
    """
    if not len(ids):
        raise BadIndex("There is no picture to index.")
    if np.any(ids[1:] <= ids[:-1]):
        raise BadIndex("The ids of the pictures are not in ascending order.")
    with _beside(directory) as unfinished:
        _store(unfinished / "ids.npy", ids)
        stored = _write_blocks(unfinished, ids, blocks, progress)
        progress("building the trees", 0, 1)
        components = principal_components(stored, DIMENSION, SEED)
        _store(unfinished / "pca.npy", components)
        annoy = _build_annoy(reduced(stored, components))
        annoy.save(str(unfinished / "index.ann"))
        progress("checking that it finds the nearest pictures", 0, 1)
        tuning = tune(annoy, components, stored, target_recall, SEED)
        progress("writing checksums", 0, 1)
        manifest = Manifest(
            model_id=model_id,
            dimension=EMBEDDING_SIZE,
            count=len(ids),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            parameters=tuning.parameters,
            recall=tuning.recall,
            recall_sample=tuning.sample,
            recall_target=target_recall,
            files={name: manifests.describe_file(unfinished / name) for name in sorted(FILES)},
        )
        (unfinished / manifests.NAME).write_bytes(manifests.encode(manifest))
    progress("complete", 1, 1)
    return manifest


def clean_leftovers(root: Path) -> list[Path]:
    """Remove what killed builds left in `root` and return it. The caller makes sure that no build is running."""
    leftovers = sorted(root.glob(f".*{UNFINISHED}*"))
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True)
    return leftovers


@contextmanager
def _beside(directory: Path) -> Iterator[Path]:
    # The name is taken before hours of work; rename() itself would only replace an empty directory.
    if directory.exists():
        raise BadIndex(f"The index {directory} exists already; a generation is never written over.")
    unfinished = directory.with_name(f".{directory.name}{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        for path in unfinished.iterdir():
            sync(path)
        sync(unfinished)
        unfinished.rename(directory)
        sync(directory.parent)
    except OSError as error:
        reason = error.strerror or error
        raise BadIndex(f"The index {directory} could not be written: {reason}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_blocks(directory: Path, ids: NDArray[np.int64], blocks: Iterable[Block], progress: Progress) -> Vectors:
    stored = _reserve(directory / "vectors.npy", (len(ids), EMBEDDING_SIZE))
    marks = _reserve(directory / "fingerprints.npy", (len(ids), BYTES), np.uint8)
    done = 0
    for block, fingerprints in blocks:
        rows = slice(done, done + len(block))
        if block.shape != (len(ids[rows]), EMBEDDING_SIZE):
            raise BadIndex(
                f"A block of vectors has the shape {list(block.shape)} where {len(ids[rows])} pictures are left."
            )
        stored[rows] = _checked(block, ids[rows])
        marks[rows] = fingerprints
        done += len(block)
        progress("copying the embeddings", done, len(ids))
    if done < len(ids):
        raise BadIndex(f"Only {done} vectors came for {len(ids)} pictures.")
    return np.asarray(stored)


def _reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    stored: NDArray[Any] = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    # A write to a mapped page without disk space kills the process (SIGBUS), so the space is allocated first.
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return stored


def _store(path: Path, array: NDArray[Any]) -> None:
    # Not np.save: on a full disk its error does not name the reason.
    _reserve(path, array.shape, array.dtype.type)[:] = array


def _checked(block: NDArray[np.floating[Any]], ids: NDArray[np.int64]) -> Vectors:
    """Return the block in float32, of unit length as exactly as float32 can hold it."""
    vectors = np.asarray(block, np.float32)
    # Not finite where a number is not.
    off = np.abs(np.sqrt(np.vecdot(vectors, vectors)) - 1)
    if bad := ids[~(off <= LENGTH_TOLERANCE)].tolist():
        raise BadIndex(f"The embedding of picture {bad[0]} is not of unit length; embed it again.")
    return unit(vectors)


def _build_annoy(short: Vectors) -> AnnoyIndex:
    """Build the trees over short [n, d], unit length, whose euclidean distances order as the cosines do."""
    annoy = AnnoyIndex(short.shape[1], "euclidean")
    annoy.set_seed(SEED)
    for row, vector in enumerate(short):
        annoy.add_item(row, vector.tolist())
    annoy.build(TREES, n_jobs=1)
    return annoy


def sync(path: Path) -> None:
    """Write a file or a folder from memory to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
