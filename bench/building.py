"""`manage.py build_index` against the bare pipeline: `python -m bench.building [--quick] [--photos DIR]`.

Both read the same files, those that the gallery keeps of photographs, and are measured in turns; figures are medians.
"""

import os
import sqlite3
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median

from bench import photos, report
from bench.pipeline import BATCH, Pipelines
from bench.report import Row, say
from bench.system import Site

FULL = (1750, 5, 8.0)  # photographs, rounds, seconds of each round of the pipeline
QUICK = (320, 2, 3.0)
GOAL = 0.95


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Import the pictures, embed them again in every round, yield the figures."""
    count, rounds, seconds = QUICK if chosen.quick else FULL
    pictures = photos.split(directory / "photos", chosen.photos, count)
    site = Site(directory / "data", SIMSEARCH_BATCH=str(BATCH))
    say(f"importing {count} photographs")
    site.manage("import_images", str(pictures.gallery))
    kept = directory / "kept"
    kept.mkdir()
    for path in (site.data_dir / "pictures" / "gallery").rglob("*.jpg"):
        (kept / path.name).symlink_to(path)
    embedded, bare = [], []
    with ExitStack() as block:
        pipelines = Pipelines(block, kept)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            bare.append(pipelines.run(seconds)[0])
            with sqlite3.connect(site.database) as database:
                database.execute("DELETE FROM gallery_embedding")
            site.manage("build_index")
            embedded.append(embedded_per_s(site))
    yield report.at_least("build_index: embedding, to the pipeline", median(embedded), "/s", GOAL, median(bare))


def embedded_per_s(site: Site) -> float:
    """Return pictures a second once every core has embedded its first batch, to the end of the last."""
    with sqlite3.connect(site.database) as database:
        written = [at for (at,) in database.execute("SELECT created_at FROM gallery_embedding ORDER BY created_at")]
    first = BATCH * (os.cpu_count() or 1)
    took = datetime.fromisoformat(written[-1]) - datetime.fromisoformat(written[first - 1])
    return float((len(written) - first) / took.total_seconds())


if __name__ == "__main__":
    report.run("building", __doc__, measure)
