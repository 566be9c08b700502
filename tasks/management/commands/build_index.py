"""manage.py build_index: embed what has no embedding yet, then build and activate a new generation."""

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from engine.embedder import Embedder
from engine.errors import EngineError
from engine.tuning import METHODS
from gallery import generations
from gallery.models import Image, IndexGeneration
from gallery.progress import Progress
from tasks import asked
from tasks.build import build_generation
from tasks.curate import embed_all
from tasks.network import load_served


class Command(BaseCommand):
    help = "Embed the pictures that have no embedding yet, build a new index and activate it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        parser.add_argument("--rollback", action="store_true", help="activate the generation before the active one")
        parser.add_argument("--if-stale", action="store_true", help="build only when the index lacks something")

        parser.add_argument("--method", choices=METHODS, help="search this way (800 pictures or more)")

    def handle(self, *, dry_run: bool, if_stale: bool, rollback: bool, method: str | None, **_: Any) -> None:
        if rollback:
            self._roll_back()
            return
        embedder = self._load()
        if told := asked.disagreement(embedder.network):
            self.stderr.write(told)
        missing = Image.objects.not_embedded(embedder.network).count()
        if dry_run:
            self._tell_plan(embedder, missing)
            return
        try:
            if missing:
                with Progress(missing, "Embedding", "picture") as progress:
                    embed_all(embedder, settings.SIMSEARCH_BATCH, progress.advance)
            if if_stale and not generations.is_behind(embedder.network):
                self.stdout.write(f"The index is up to date ({_words(generations.active())}).")
                return
            generation = build_generation(embedder.network, self.stdout.write, method)
        except (generations.Busy, generations.BuildFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on where this one ended.", returncode=130) from None
        state = "Active" if generation.is_active else "Kept, for another network serves by now"
        self.stdout.write(f"{state}: {_words(generation)}.")

    def _roll_back(self) -> None:
        try:
            previous = generations.roll_back()
        except generations.NothingToGoBackTo as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Active: {_words(previous)}.")

    def _load(self) -> Embedder:
        try:
            # Nothing else of this process competes for the cores while pictures are embedded.
            return load_served(threads=max(settings.SIMSEARCH_THREADS, os.cpu_count() or 1))
        except EngineError as error:
            raise CommandError(str(error)) from None

    def _tell_plan(self, embedder: Embedder, missing: int) -> None:
        self.stdout.write(
            f"{missing} of {Image.objects.count()} pictures would be embedded by {embedder.network} on "
            f"{embedder.device}, then a new generation built (active: {_words(generations.active())})."
        )


def _words(generation: IndexGeneration | None) -> str:
    return f"{generation} with {generation.images} pictures by {generation.network}" if generation else "none"
