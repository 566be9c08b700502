"""Embeddings -> a new generation -> active."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from django.conf import settings

from engine.errors import BadIndex, OldIndex
from engine.images.fingerprints import Fingerprints
from engine.index import manifest as manifests
from engine.index.build import build, clean_leftovers
from engine.index.manifest import Manifest
from gallery.curation import generations
from gallery.models import Embedding, IndexGeneration
from gallery.persistence import persist
from tasks.delta import Ids, Vectors, to_fingerprints, to_vectors

logger = logging.getLogger(__name__)

BLOCK = 1000  # embeddings read at once: 16 MB as float32
TRIES = 3  # of a build that begins anew because pictures were deleted meanwhile
CHECK_S = 600
Tell = Callable[[str], object]


def build_generation(network: str, tell: Tell = logger.info) -> IndexGeneration:
    """Build a generation of every embedding of `network`, and activate it unless another network serves.

    Raises generations.Busy (another build is under way) and generations.BuildFailed; the active one then stays.
    """
    generation = generations.start(network)
    try:
        settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
        _clean()
        ids, manifest = _write_all(generation, tell)
        _check(generation)
        generations.activate(
            generation,
            images=manifest.count,
            last_embedding=int(ids[-1]),
            manifest={"recall": manifest.recall, "recall_target": manifest.recall_target},
        )
    except BadIndex as error:
        generations.fail(generation, str(error))
        raise generations.BuildFailed(str(error)) from error
    except BaseException as error:
        reason = f"The build was stopped ({type(error).__name__})."
        persist(lambda: generations.fail(generation, reason))
        raise
    return generation


def is_outdated(network: str) -> bool:
    """Return whether this network serves from a generation that a version with another format wrote."""
    active = generations.active()
    if active is None or active.network != network:
        return False
    try:
        manifests.read(active.directory)
    except BadIndex as error:
        return isinstance(error, OldIndex)
    return False


def _ids(network: str) -> Ids:
    """Return the ids, ascending."""
    rows = Embedding.objects.filter(network=network).order_by("id").values_list("id", flat=True)
    ids = np.fromiter(rows.iterator(), np.int64)
    if not len(ids):
        raise BadIndex("There is no picture to index yet; add some with manage.py import_images DIR.")
    return ids


class _Deleted(BadIndex):
    """Pictures were deleted while they were written."""


def _write_all(generation: IndexGeneration, tell: Tell) -> tuple[Ids, Manifest]:
    """Write the index of all embeddings; returns their ids."""
    for _ in range(TRIES - 1):
        ids = _ids(generation.network)
        with suppress(_Deleted):
            return ids, _write(generation, ids, tell)
    ids = _ids(generation.network)
    return ids, _write(generation, ids, tell)


def _write(generation: IndexGeneration, ids: Ids, tell: Tell) -> Manifest:
    told: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        persist(lambda: generations.keep_alive(generation))
        if step not in told:
            told.append(step)
            tell(f"Index {generation}: {step}" + (f" ({total})" if total > 1 else ""))

    return build(generation.directory, ids, _blocks(ids), generation.network, progress=progress)


def _blocks(ids: Ids) -> Iterator[tuple[Vectors, Fingerprints]]:
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK].tolist()
        rows = list(Embedding.objects.filter(id__in=part).order_by("id").values_list("vector", "fingerprint"))
        if len(rows) < len(part):
            raise _Deleted("Pictures were deleted while the index was built; build it again.")
        yield to_vectors([vector for vector, _ in rows]), to_fingerprints([mark for _, mark in rows])


def _check(generation: IndexGeneration) -> None:
    """Open and search it in a process of its own: a file that crashes Annoy must not take this process along."""
    command = [sys.executable, "-m", "engine.index.check", str(generation.directory), generation.network]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)  # noqa: S603
    if done.returncode:
        shutil.rmtree(generation.directory, ignore_errors=True)
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BadIndex(f"The new index does not pass its test ({reason[0]}).")


def _clean() -> None:
    """Delete what no row asks for: retired generations, and whatever a killed build left.

    Only while this process has the place of the one builder. A worker that has a retired generation open keeps its
    mapped files.
    """
    clean_leftovers(settings.INDEX_ROOT)
    wanted = {str(number) for number in generations.prune()}
    for directory in settings.INDEX_ROOT.iterdir():
        if directory.name not in wanted:
            shutil.rmtree(directory, ignore_errors=True)
