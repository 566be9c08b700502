"""Generations as folders, `index/<number>/`, each with Annoy's file and a manifest."""

import shutil
from collections.abc import Set
from typing import Any

from django.conf import settings

from engine.errors import BadIndex, IndexAway, OldIndex
from engine.index import manifest as manifests
from engine.index.annoy_index import Index
from engine.index.build import build, clean_leftovers
from engine.index.check import check_apart
from gallery.models import IndexGeneration
from gallery.storage import files
from tasks.stores import EmbeddingSource, Progress, published


class AnnoyStore:
    """The folder INDEX_ROOT; where hosts share a storage, their copies of its files.

    Files that a worker has open stay mapped when they are deleted.
    """

    def __init__(self) -> None:
        self._follower = published.Follower()

    def write(self, generation: IndexGeneration, source: EmbeddingSource, progress: Progress) -> dict[str, Any]:
        """Write a generation, test it, and return the `manifest` of its row. Raises BadIndex, IndexAway."""
        settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
        manifest = build(generation.directory, source.ids, source.blocks(), generation.model_id, progress=progress)
        facts = {"recall": manifest.recall, "recall_target": manifest.recall_target}
        try:
            check_apart(generation.directory, generation.model_id)
            return facts | ({"sha256": published.publish(generation, progress)} if files.is_remote() else {})
        except (BadIndex, IndexAway):
            shutil.rmtree(generation.directory, ignore_errors=True)
            raise

    def open(self, generation: IndexGeneration) -> Index:
        """Open a generation. Raises BadIndex, OldIndex."""
        if generation.is_synchronised:
            raise OldIndex(f"The index {generation.number} is in Milvus; run manage.py build_index.")
        self.bring(generation)
        return Index.open(generation.directory, generation.model_id)

    def is_here(self, generation: IndexGeneration) -> bool:
        """Tell whether it can be opened at once; False where it has to be fetched."""
        return not files.is_remote() or generation.is_synchronised or published.is_here(generation)

    def bring(self, generation: IndexGeneration) -> None:
        """Fetch it if it is not here. Raises BadIndex."""
        if not self.is_here(generation):
            published.bring(generation)

    def follow(self) -> None:
        """Start to fetch each generation that becomes active, in one process of this host."""
        if files.is_remote():
            self._follower.start()

    def not_fetched(self) -> tuple[int, str] | None:
        """Return the number of the active generation while this process cannot fetch it, and why."""
        return self._follower.failed

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
        if files.is_remote():
            published.remove(generation.number)
        shutil.rmtree(generation.directory, ignore_errors=True)

    def clean(self, wanted: Set[int]) -> None:
        """Delete all generations but those of these numbers, and what killed builds left. Raises IndexAway."""
        if files.is_remote():
            published.clean(wanted)
        settings.INDEX_ROOT.mkdir(parents=True, exist_ok=True)
        clean_leftovers(settings.INDEX_ROOT)
        names = {str(number) for number in wanted}
        for directory in settings.INDEX_ROOT.iterdir():
            if directory.name not in names:
                shutil.rmtree(directory, ignore_errors=True)
