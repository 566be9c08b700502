"""manage.py make_demo: fill the gallery with drawn pictures, for who has no photographs at hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery.curation import demonstration, importing, library
from gallery.curation.progress import Progress
from gallery.errors import Refusal
from gallery.models import Image
from gallery.queries import wakeup


class Command(BaseCommand):
    help = "Fill the gallery with drawn pictures of many kinds. Those that it has already are left as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--per-kind", type=int, default=demonstration.PER_KIND, help="default: %(default)s")

    def handle(self, *, per_kind: int, **_: Any) -> None:
        if per_kind < 1:
            raise CommandError("--per-kind must be at least 1.")
        added, total = 0, per_kind * len(demonstration.KINDS)
        # By name first: quick, and right after an update of Pillow that draws a pixel differently.
        there = set(Image.objects.filter(label__in=demonstration.KINDS).values_list("label", "title"))
        try:
            with Progress(total, "Drawing", "picture") as progress:
                for kind, number in demonstration.catalogue(per_kind):
                    added += (kind, demonstration.title(kind, number)) not in there and _add(kind, number)
                    progress.advance(1)
        except KeyboardInterrupt:
            raise CommandError("Stopped; the same command goes on where this one ended.", returncode=130) from None
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        finally:
            wakeup.wake_workers(wakeup.CURATE)
        self.stdout.write(f"{added} pictures drawn, {total - added} were there already.")


def _add(kind: str, number: int) -> bool:
    """Whether the picture was new, under whatever name."""
    try:
        importing.add(demonstration.file(kind, number), label=kind, title=demonstration.title(kind, number))
    except library.AlreadyThere:
        return False
    return True
