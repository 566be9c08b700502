"""manage.py make_demo: import the demo gallery."""

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

DEMO = Path(__file__).resolve().parents[2] / "demo"


class Command(BaseCommand):
    help = "Import the demo gallery: 240 pictures of 16 kinds. Pictures that are already there stay unchanged."

    def handle(self, **_: Any) -> None:
        call_command("import_images", DEMO, stdout=self.stdout, stderr=self.stderr)
