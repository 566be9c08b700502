"""manage.py restore FILE: restore a backup into this system."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from gallery import persistence
from gallery.backup import restoring
from gallery.backup.archive import BadBackup


class Command(BaseCommand):
    help = (
        "Restore a backup, all of it or nothing. It also restores accounts: restore only backups that you trust. "
        "Afterwards build_index makes the index of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a file that backup made, or - for the standard input")
        parser.add_argument("--replace", action="store_true", help="delete everything that is in this system now")
        parser.add_argument("--check", action="store_true", help="only read the whole backup and show its content")

    def handle(self, *, file: str, replace: bool, check: bool, **_: Any) -> None:
        if file == "-" and sys.stdin.isatty():
            raise CommandError("A backup cannot be typed in: name a file, or pipe one in.")
        try:
            with restoring.at_hand(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
                manifest, contents = restoring.verify(stream) if check else restoring.restore(stream, replace=replace)
        except (BadBackup, restoring.Refused) as error:
            raise CommandError(f"Nothing was changed. {error}") from None
        except (OSError, DatabaseError) as error:
            raise CommandError(f"Nothing was restored: {persistence.reason(error)}.") from error
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was restored.", returncode=130) from None
        rows, model_id = contents.rows, manifest.model_id
        self.stdout.write(
            f"{'Complete and undamaged' if check else 'Restored'}: {rows['gallery.image']} pictures, "
            f"{rows['gallery.embedding']} embeddings, {rows['gallery.query']} queries and {rows['auth.user']} accounts "
            f"of {manifest.made_at}, simsearch {manifest.simsearch}{model_id and f', searched by {model_id}'}."
        )
        if not check:
            self.stdout.write("Now run manage.py build_index: until then each search compares every picture.")
