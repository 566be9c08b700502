"""Generations as folders, `index/<number>/`, each with Annoy's file and a manifest."""

import shutil
import subprocess
import sys
from collections.abc import Set
from typing import Any

from django.conf import settings

from engine.errors import BadIndex, OldIndex
from engine.index import manifest as manifests
from engine.index.annoy_index import Index
from engine.index.build import build, clean_leftovers
from gallery.models import IndexGeneration
from tasks.stores import Progress, Source

CHECK_S = 600


class AnnoyStore:
    """The folder INDEX_ROOT. What a worker has open stays mapped when it is deleted."""

    def write(self, generation: IndexGeneration, source: Source, progress: Progress) -> dict[str, Any]:
        """Write a generation, test it, and return the `manifest` of its row. Raises BadIndex."""
        settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
        manifest = build(generation.directory, source.ids, source.blocks(), generation.network, progress=progress)
        _check(generation)
        return {"recall": manifest.recall, "recall_target": manifest.recall_target}

    def open(self, generation: IndexGeneration, network: str | None = None) -> Index:
        """Open a generation, of that network where one is given. Raises BadIndex, OldIndex."""
        if generation.is_synchronised:
            raise OldIndex(f"The index {generation.number} is in Milvus; run manage.py build_index.")
        return Index.open(generation.directory, network)

    def is_outdated(self, generation: IndexGeneration) -> bool:
        """Return whether a version with another format wrote it, or it is in Milvus."""
        try:
            manifests.read(generation.directory)
        except BadIndex as error:
            return isinstance(error, OldIndex) or generation.is_synchronised
        return False

    def problem(self, generation: int) -> str:
        """Say what is wrong when the index in use was deleted: its files stay mapped, but the next start has none."""
        if (settings.INDEX_ROOT / str(generation) / manifests.NAME).is_file():
            return ""
        return f"The files of generation {generation} are gone from {settings.INDEX_ROOT}; run manage.py build_index."

    def remove(self, generation: IndexGeneration) -> None:
        """Delete a generation, if it is there."""
        shutil.rmtree(generation.directory, ignore_errors=True)

    def clean(self, wanted: Set[int]) -> None:
        """Delete all generations but those of these numbers, and what killed builds left."""
        settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
        clean_leftovers(settings.INDEX_ROOT)
        names = {str(number) for number in wanted}
        for directory in settings.INDEX_ROOT.iterdir():
            if directory.name not in names:
                shutil.rmtree(directory, ignore_errors=True)


def _check(generation: IndexGeneration) -> None:
    """Open and search it in a process of its own: a file that crashes Annoy must not take this process along."""
    command = [sys.executable, "-m", "engine.index.check", str(generation.directory), generation.network]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)  # noqa: S603
    if done.returncode:
        shutil.rmtree(generation.directory, ignore_errors=True)
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BadIndex(f"The new index does not pass its test ({reason[0]}).")
