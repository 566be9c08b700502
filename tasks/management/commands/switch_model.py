"""manage.py switch_model: change the active model while searches go on."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.errors import EngineError
from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery.index import embeddings, generations
from gallery.models import Image
from tasks import active_model
from tasks.indexing.embedding import embed_missing
from tasks.indexing.model_switch import SwitchError, only_one, prune, switch

NICE = 10  # as the gallery worker: searches have priority


class Command(BaseCommand):
    help = (
        "Change the active model: embed every picture, build an index in the background, then activate it. "
        "You can stop the command and run it again to continue. Without a name it lists the models."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help=f"{', '.join(registry.MODELS)}, or the id of a kept model")
        parser.add_argument("--weights", type=Path, metavar="FILE", help="weights file, instead of the model's own")
        parser.add_argument(
            "--prune", action="store_true", help="afterwards delete the data of the models that are not active"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Run with low priority, so that the workers go first."""
        os.nice(NICE)
        super().run_from_argv(argv)

    def handle(self, *, name: str | None, weights: Path | None, **options: Any) -> None:
        if not name and not options["prune"]:
            self._list_models()
            return
        try:
            with only_one():
                if name:
                    self._switch(self._load(name, weights))
                if options["prune"]:
                    self._prune(keep=set())
        except (SwitchError, EngineError, generations.BuildFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run the same command again to continue.", returncode=130) from None

    def _load(self, name: str, weights: Path | None) -> Embedder:
        # With SIMSEARCH_THREADS, as the workers: on busy cores more threads would wait for each other.
        if weights is None and active_model.kept_weights(name).is_file():
            return active_model.load(name)
        embedder = active_model.load_named(name, weights)
        try:
            active_model.keep_weights(embedder)
        except OSError as error:
            raise CommandError(f"The weights could not be copied into the data directory: {error}.") from None
        return embedder

    def _switch(self, embedder: Embedder) -> None:
        before = generations.active_model_id()
        if before == embedder.model_id:
            self.stdout.write(f"{before} is the active model already.")
            return
        embed_missing(embedder)
        generation = switch(embedder, self.stdout.write)
        count = embeddings.count_by_model()[embedder.model_id]
        self.stdout.write(
            f"{embedder.model_id} is active, with {count} pictures ({generation}); "
            "each worker changes between two batches."
        )
        if before:
            self._prune(keep={before})
            self.stdout.write(
                f"Back again: manage.py switch_model {before}. Delete it: manage.py switch_model --prune."
            )

    def _prune(self, keep: set[str]) -> None:
        deleted, spared = prune(keep)
        for gone in sorted(deleted):
            self.stdout.write(f"Deleted: what was kept of {gone}.")
        for running in sorted(spared):
            self.stdout.write(f"Kept: {running}, which a worker ran a moment ago; delete it with --prune later.")

    def _list_models(self) -> None:
        active_id, count = generations.active_model_id(), Image.objects.count()
        self.stdout.write(
            f"{active_id} is active." if active_id else "No model is active yet; manage.py build_index makes an index."
        )
        for known, embedded in sorted(embeddings.count_by_model().items()):
            gone = "" if registry.is_known(known) else " This version no longer has this model."
            self.stdout.write(f"{known}: {embedded} of {count} pictures embedded.{gone}")
