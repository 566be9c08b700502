"""manage.py backup FILE: write the database and the pictures into one file."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from gallery import persistence
from gallery.backup import backup
from gallery.storage import files


class Command(BaseCommand):
    help = (
        "Back up the database and the pictures into one file, while simsearch goes on serving. The file holds the "
        "accounts with their hashed passwords: keep it as safe as the server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a new file, or - for the standard output")
        parser.add_argument("--without-queries", action="store_true", help="leave out the visitors' queries")

    def handle(self, *, file: str, without_queries: bool, **_: Any) -> None:
        if file == "-" and sys.stdout.isatty():
            raise CommandError("A backup cannot be shown on a terminal: name a file, or pipe it into another command.")
        try:
            with open(sys.stdout.fileno(), "wb", closefd=False) if file == "-" else backup.into(Path(file)) as stream:
                outcome = backup.write(stream, with_queries=not without_queries)
        except BrokenPipeError:
            raise CommandError("The reader of the backup closed the pipe: the backup is not complete.") from None
        except (OSError, DatabaseError) as error:
            raise CommandError(f"No backup was made: {persistence.reason(error)}.") from error
        except KeyboardInterrupt:
            raise CommandError("Stopped; no backup was made.", returncode=130) from None
        if outcome.deleted:
            self.stderr.write(f"  {outcome.deleted} deleted during the backup are not in it.")
        for row in outcome.lost:
            self.stderr.write(f"  the file of {row} is missing; its row is in the backup without it")
        out = self.stderr if file == "-" else self.stdout
        rows = outcome.rows
        kept_in = f", with {outcome.pictures} files of {files.keeper().described()}" if files.is_remote() else ""
        out.write(
            f"Backed up {rows['gallery.image']} pictures, {rows['gallery.embedding']} embeddings, "
            f"{rows['gallery.query']} queries and {rows['auth.user']} accounts{kept_in}."
        )
