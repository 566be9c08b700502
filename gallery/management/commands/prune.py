"""manage.py prune --dry-run | --apply"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from gallery.operations import pruning
from gallery.queries import retention


class Command(BaseCommand):
    help = (
        "Find orphans: expired queries, files without a row, rows without their picture file, "
        "rest of killed writes. Safe to run while simsearch serves."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        choice = parser.add_mutually_exclusive_group(required=True)
        choice.add_argument("--dry-run", action="store_true", help="list what would be removed; change nothing")
        choice.add_argument("--apply", action="store_true", help="remove them")

    def handle(self, *args: Any, **options: Any) -> None:
        too_old = timezone.now() - timedelta(seconds=settings.SIMSEARCH_QUERY_TTL_S)
        try:
            orphans = pruning.find()
        except pruning.TooMany as error:
            raise CommandError(str(error)) from error
        self._tell(retention.expired(too_old).count(), "expired queries")
        self._tell(len(orphans.files), f"files without a row ({orphans.bytes / 1e6:.1f} MB)")
        self._tell(len(orphans.queries), "queries without their picture")
        self._tell(len(orphans.images), "gallery pictures without their file")
        self._tell(orphans.embeddings, "embeddings of deleted pictures")
        self._tell(orphans.parts, "pictures of deleted queries")
        for image_id in orphans.images:
            self.stdout.write(f"  {image_id}")
        if options["dry_run"]:
            self.stdout.write("Nothing was removed; --apply removes them.")
            return
        retention.expire(too_old)
        pruning.remove(orphans)
        self.stdout.write("Removed.")

    def _tell(self, count: int, what: str) -> None:
        self.stdout.write(f"{count:>6} {what}")
