"""manage.py import_images PLACE…: put pictures of this machine's disk into the gallery."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery import importing, scanning, wakeup
from gallery.errors import Refusal
from gallery.importing import Outcome
from gallery.progress import Progress
from gallery.scanning import Source


class Command(BaseCommand):
    help = "Put folders of pictures, or single ones, into the gallery. A sub-folder's name becomes their label."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("places", nargs="+", type=Path, metavar="PLACE", help="a folder or a file")
        parser.add_argument("--relabel", action="store_true", help="moved pictures take the label of their new folder")
        parser.add_argument("--follow-links", action="store_true", help="import linked folders, too")

    def handle(self, *, places: list[Path], relabel: bool, follow_links: bool, verbosity: int, **_: Any) -> None:
        for place in places:
            if not _exists(place):
                raise CommandError(f"There is no folder or file {place}.")
        outcome = Outcome()
        base = places[0].absolute() if len(places) == 1 and places[0].is_dir() else Path.cwd()
        sources = scanning.scan(places, outcome.left_out, follow_links=follow_links, label_from="parent")
        try:
            self._import(sources, outcome)
        finally:
            self._tell_left_out(outcome, base, verbosity)
        moved = importing.moved(outcome)
        if relabel:
            importing.relabel(moved)
        elif moved:
            self.stderr.write(f"{len(moved)} moved: they keep their label (import_images --relabel changes it).")
        self.stdout.write(_summary(outcome, sources, len(moved) if relabel else 0))
        if not outcome.added and not outcome.known:
            held = "no readable picture" if outcome.left_out else "no files"
            raise CommandError(f"The folder {places[0]} holds {held}." if len(places) == 1 else f"There is {held}.")

    def _import(self, sources: list[Source], outcome: Outcome) -> None:
        try:
            with Progress(len(sources), "Importing", "file") as progress:
                for _step in importing.import_files(sources, outcome):
                    progress.advance(1)
        except Refusal as refusal:  # a full disk; a bad file is only listed
            raise CommandError(str(refusal)) from refusal
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on where this one ended.", returncode=130) from None
        finally:
            wakeup.wake_workers(wakeup.CURATE)

    def _tell_left_out(self, outcome: Outcome, base: Path, verbosity: int) -> None:
        left_out = outcome.left_out
        if left_out:
            self.stderr.write("Left out:" if verbosity > 1 else "Left out (import_images -v 2 names each):")
        for line in left_out.details(base) if verbosity > 1 else left_out.lines(base):
            self.stderr.write(f"  {line}")


def _summary(outcome: Outcome, sources: list[Source], relabelled: int) -> str:
    told = f"{outcome.added} pictures imported, {outcome.known} were there already, {outcome.refused} refused."
    if relabelled:
        told += f" {relabelled} moved: they took their new label."
    if foreign := sum(source.has_foreign_name for source in sources):
        told += f" Names that are not UTF-8 were read as Windows-1252: {foreign}."
    return told


def _exists(place: Path) -> bool:
    try:
        return place.is_dir() or place.is_file()
    except OSError:  # in a folder that cannot be entered
        return False
