"""manage.py build_index: embed what has no embedding yet, then build and activate a new generation."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.errors import EngineError
from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.models import Image
from tasks.active_model import disagreement, is_outdated


class Command(BaseCommand):
    help = "Embed the pictures that have no embedding yet, build a new index and activate it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show what would be done; change nothing")
        parser.add_argument("--rollback", action="store_true", help="activate the generation before the active one")
        parser.add_argument(
            "--if-stale", action="store_true", help="build only if the index lacks pictures or has another format"
        )
        parser.add_argument(
            "--distributed", action="store_true", help="have the pictures embedded by all workers of the gallery queue"
        )

    def handle(self, *, rollback: bool, **options: Any) -> None:
        try:
            if rollback:
                self.stdout.write(f"Active: {generations.described(generations.roll_back())}.")
            else:
                self._build(**options)
        except (generations.NothingToGoBackTo, EngineError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run the same command again to continue.", returncode=130) from None

    def _build(self, *, dry_run: bool, if_stale: bool, distributed: bool, **_: Any) -> None:
        if active_id := generations.active_model_id():
            if message := disagreement(active_id):
                self.stderr.write(message)
            is_whole = generations.status(active_id) is IndexStatus.CURRENT
            is_whole = is_whole and not Image.objects.not_embedded(active_id).exists()
            if if_stale and is_whole and not is_outdated(active_id):
                self.stdout.write(f"The index is up to date ({generations.described(generations.active())}).")
                return
        # Here, because it loads torch, which would take most of the time when there is nothing to do.
        from tasks.indexing import build

        try:
            self.stdout.write(build.plan() if dry_run else build.index(self._tell, distributed=distributed))
        except build.NotIndexed as error:
            raise CommandError(str(error)) from None

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()  # before the progress on stderr, in a log too
