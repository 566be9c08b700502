"""manage.py make_demo: fill the gallery with drawn pictures, for who has no photographs at hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery import demonstration, doorbell
from gallery.errors import Refusal
from gallery.progress import Progress


class Command(BaseCommand):
    help = "Fill the gallery with drawn pictures of many kinds. Those that it has already are left as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--per-kind", type=int, default=demonstration.PER_KIND, help="default: %(default)s")

    def handle(self, *, per_kind: int, **_: Any) -> None:
        if per_kind < 1:
            raise CommandError("--per-kind must be at least 1.")
        added, total = 0, per_kind * len(demonstration.KINDS)
        try:
            with Progress(total, "Drawing", "picture") as progress:
                for is_new in demonstration.add_to_gallery(per_kind):
                    added += is_new
                    progress.advance(1)
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on where this one ended.", returncode=130) from None
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        finally:
            doorbell.ring(doorbell.CURATE)
        self.stdout.write(f"{added} pictures drawn, {total - added} were there already.")
