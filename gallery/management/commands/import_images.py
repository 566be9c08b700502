"""manage.py import_images PLACE…: put pictures of this machine's disk into the gallery.

`import_images --watch` without a PLACE watches the folder of the settings, SIMSEARCH_WATCH: a program of supervisor.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections

from gallery import persistence
from gallery.curation import importing
from gallery.curation.folders import image_table, scanning, watching
from gallery.curation.folders.image_table import BadTable
from gallery.curation.folders.left_out import LeftOut
from gallery.curation.folders.scanning import Source
from gallery.curation.folders.watching import FolderChanges, Mirror, Watcher
from gallery.curation.importing import ImportResult
from gallery.curation.progress import Progress
from gallery.errors import Refusal


class Command(BaseCommand):
    help = "Add folders of pictures, or single pictures, to the gallery. The name of a sub-folder becomes their label."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("places", nargs="*", type=Path, metavar="PLACE", help="a folder or a file")
        parser.add_argument(
            "--csv",
            type=Path,
            metavar="FILE",
            help="import the files of a table: file, label, title, date, taken, hidden; `export` writes one",
        )
        parser.add_argument(
            "--label-from",
            choices=scanning.LABELS,
            default="parent",
            help="a picture's label: the name of its folder (the default), its path below the PLACE, or none",
        )
        parser.add_argument(
            "--relabel",
            action="store_true",
            help="give moved pictures the label of their new folder; without it they keep theirs",
        )
        parser.add_argument("--follow-links", action="store_true", help="also import linked folders")
        parser.add_argument("--dry-run", action="store_true", help="show what would be imported; change nothing")
        parser.add_argument(
            "--watch",
            action="store_true",
            help="go on and import new and changed files, from network disks within a minute, until Ctrl-C",
        )
        parser.add_argument(
            "--mirror",
            action="store_true",
            help="while watching, hide pictures whose files go, and show them again with their files",
        )

    def handle(self, *, places: list[Path], **options: Any) -> None:
        self.places, self.options = [place.absolute() for place in places], options
        if options["watch"] and not places and settings.SIMSEARCH_WATCH:
            self._watch_the_folder_of_the_settings()
        self._check()
        try:
            self.table = image_table.read(options["csv"].absolute()) if options["csv"] else None
        except BadTable as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{options['csv']} cannot be read ({error.strerror}).") from error
        watcher = Watcher(self._scan)
        outcome = self._first(*watcher.first())
        if options["watch"]:
            self._watch(watcher, outcome.pictures)
        elif not outcome.added and not outcome.known:
            held = "no readable picture" if outcome.left_out else "no files"
            kind = "file" if self.places and self.places[0].is_file() else "folder"
            raise CommandError(f"The {kind} {places[0]} holds {held}." if len(places) == 1 else f"There is {held}.")

    def _watch_the_folder_of_the_settings(self) -> None:
        """Wait until the folder is there: a disk may be mounted later."""
        folder = Path(settings.SIMSEARCH_WATCH).expanduser().absolute()
        self.places, self.options["mirror"] = [folder], self.options["mirror"] or settings.SIMSEARCH_WATCH_MIRROR
        if not _exists(folder):
            self.stdout.write(f"There is no folder {folder} (SIMSEARCH_WATCH) yet.")
            self.stdout.flush()
        try:
            while not _exists(folder):
                time.sleep(watching.LOOK_MS / 1000)
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None

    def _check(self) -> None:
        for place in self.places:
            if not _exists(place):
                raise CommandError(f"There is no folder or file {place}.")
        if bool(self.places) == bool(self.options["csv"]):
            raise CommandError("Name folders or files, or a table with --csv.")
        if self.options["csv"] and self.options["watch"]:
            raise CommandError("--watch looks at folders, not at a table: leave --csv out.")
        if self.options["mirror"] and not self.options["watch"]:
            raise CommandError(
                "--mirror needs --watch: it hides pictures whose files go while the folders are watched."
            )
        if self.options["watch"] and self.options["dry_run"]:
            raise CommandError("--watch and --dry-run exclude each other.")

    def _scan(self) -> tuple[list[Source], LeftOut]:
        left_out = LeftOut()
        if self.table:
            return self.table.sources, left_out
        follow_links, label_from = self.options["follow_links"], self.options["label_from"]
        return scanning.scan(self.places, left_out, follow_links=follow_links, label_from=label_from), left_out

    def _first(self, sources: list[Source], left_out: LeftOut) -> ImportResult:
        outcome = ImportResult(left_out=left_out)
        try:
            with Progress(len(sources), "Importing", "file") as progress:
                for _step in self._import(sources, outcome):
                    progress.advance(1)
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run the same command again to continue.", returncode=130) from None
        finally:
            self._tell_left_out(outcome)
        is_dry = self.options["dry_run"]
        changed = image_table.apply(self.table, outcome.pictures) if self.table and not is_dry else 0
        relabelled = 0 if self.table else self._follow_moved(outcome.pictures)
        message = _summary(outcome, sources, relabelled, is_dry=is_dry)
        self.stdout.write(f"{message} {changed} changed." if self.table else message)
        return outcome

    def _import(self, sources: Sequence[Source], outcome: ImportResult) -> Iterator[Source]:
        try:
            yield from importing.import_files(sources, outcome, is_dry=self.options["dry_run"])
        except Refusal as refusal:  # a full disk; bad files are only listed
            raise CommandError(str(refusal)) from refusal
        except OSError as error:
            raise CommandError(f"A picture could not be kept: {persistence.reason(error)}.") from error

    def _follow_moved(self, pictures: dict[Source, str]) -> int:
        """Give moved pictures their new label with --relabel; returns how many got one."""
        moved = importing.moved(pictures)
        if self.options["relabel"] and not self.options["dry_run"]:
            importing.relabel(moved)
            return len(moved)
        if moved:
            message = f"{len(moved)} pictures were moved, or were labelled by hand: they keep their label"
            self.stderr.write(f"{message} (import_images --relabel gives them their folder's).")
        return 0

    def _tell_left_out(self, outcome: ImportResult) -> None:
        left_out, is_detailed = outcome.left_out, self.options["verbosity"] > 1
        base = self.places[0] if len(self.places) == 1 and self.places[0].is_dir() else Path.cwd()
        if left_out:
            self.stderr.write("Left out:" if is_detailed else "Left out (import_images -v 2 names each):")
        for line in left_out.details(base) if is_detailed else left_out.lines(base):
            self.stderr.write(f"  {line}")

    # --- Watching -----------------------------------------------------------------------------------------------

    def _watch(self, watcher: Watcher, pictures: dict[Source, str]) -> None:
        self.stdout.write("Watching for changes. Press Ctrl-C to stop.")
        self.stdout.flush()
        mirror = Mirror()
        try:
            for changes in watching.rounds(self.places, watcher):
                close_old_connections()  # the database server may have been restarted since the last change
                self._take(changes, pictures, mirror)
        except OSError as error:
            raise CommandError(f"The folder cannot be watched: {error}") from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")

    def _take(self, changes: FolderChanges, pictures: dict[Source, str], mirror: Mirror) -> None:
        before, outcome = set(pictures.values()), ImportResult()
        for _step in self._import(changes.settled, outcome):
            pass
        for source in changes.gone:
            pictures.pop(source, None)
        pictures.update(outcome.pictures)
        self._tell_left_out(outcome)
        message = _summary(
            outcome, changes.settled, self._follow_moved(pictures) if outcome.known or changes.gone else 0
        )
        if self.options["mirror"]:
            hidden, shown = mirror.follow(before, set(pictures.values()))
            message += f" {hidden} hidden, {shown} shown again."
        self.stdout.write(message)
        self.stdout.flush()


def _summary(outcome: ImportResult, sources: Sequence[Source], relabelled: int, *, is_dry: bool = False) -> str:
    what = "would be imported" if is_dry else "imported"
    part = f" ({outcome.incomplete} of them incomplete)" if outcome.incomplete else ""
    message = f"{outcome.added} pictures {what}{part}, {outcome.known} were there already, {outcome.refused} refused."
    if relabelled:
        message += f" {relabelled} moved: they took their new label."
    if foreign := sum(source.has_foreign_name for source in sources):
        message += f" Names that are not UTF-8 were read as Windows-1252: {foreign}."
    return message


def _exists(place: Path) -> bool:
    try:
        return place.is_dir() or place.is_file()
    except OSError:  # in a folder that cannot be entered
        return False
