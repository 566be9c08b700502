"""manage.py import_images DIR: put a folder of pictures into the gallery."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery.curation import importing
from gallery.curation.progress import Progress
from gallery.errors import Refusal
from gallery.queries import wakeup


class Command(BaseCommand):
    help = "Put a folder of pictures into the gallery. A sub-folder's name becomes the label of its pictures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path)

    def handle(self, *, directory: Path, **_: Any) -> None:
        if not directory.is_dir():
            raise CommandError(f"There is no folder {directory}.")
        files = importing.files_in(directory)
        if not files:
            raise CommandError(f"The folder {directory} holds no files.")
        outcome = importing.Outcome()
        try:
            with Progress(len(files), "Importing", "picture") as progress:
                for _step in importing.import_files(files, directory, outcome):
                    progress.advance(1)
        except Refusal as refusal:  # a full disk; a bad file is only listed
            raise CommandError(str(refusal)) from refusal
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on where this one ended.", returncode=130) from None
        finally:
            wakeup.wake_workers(wakeup.CURATE)
        self._tell(outcome, directory)

    def _tell(self, outcome: importing.Outcome, directory: Path) -> None:
        for path, reason in outcome.refused:
            self.stderr.write(f"  {path.relative_to(directory)}: {reason}")
        part = f" ({outcome.incomplete} of them incomplete)" if outcome.incomplete else ""
        refused = len(outcome.refused)
        self.stdout.write(
            f"{outcome.added} pictures imported{part}, {outcome.known} were there already, {refused} refused."
        )
        if not outcome.added and not outcome.known:
            raise CommandError(f"The folder {directory} holds no readable picture.")
