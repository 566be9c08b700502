"""What may be chosen on a benchmark's command line."""

from argparse import ArgumentParser
from pathlib import Path

from bench import photos


def of_all(description: str | None) -> ArgumentParser:
    """Return the options that every benchmark has: `photos`, `quick`."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--photos", type=Path, default=photos.PHOTOS)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and rounds; a minute or two")
    return parser
