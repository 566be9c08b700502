"""`manage.py build_index` against the bare pipeline: `python -m bench.building [--quick] [--photos DIR]`.

Both read the same files, those that the gallery keeps of photographs, and are measured in turns; figures are medians.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median

from bench import photos, pipeline, report
from bench.report import Row, say
from bench.system import FOREIGN, ROOT

FULL = (1750, 5, 8.0)  # photographs, rounds, seconds of each round of the pipeline
QUICK = (320, 2, 3.0)
GOAL = 0.95


def main() -> None:
    """Measure, print the table, write bench/out/building.json."""
    chosen = report.options(__doc__)
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        effort = QUICK if chosen.quick else FULL
        report.publish("building", list(measure(Path(directory), chosen.photos, *effort)))


def measure(directory: Path, folder: Path, count: int, rounds: int, seconds: float) -> Iterator[Row]:
    """Import the pictures, embed them again in every round, yield the figures."""
    pictures = photos.split(directory / "photos", count, 0, 0, folder)
    site = Site(directory / "data", SIMSEARCH_BATCH=str(pipeline.BATCH))
    say(f"importing {count} photographs")
    site.manage("import_images", str(pictures.gallery))
    kept = directory / "kept"
    kept.mkdir()
    for path in (site.data_dir / "pictures" / "gallery").rglob("*.jpg"):
        (kept / path.name).symlink_to(path)
    embedded, bare = [], []
    with ExitStack() as block:
        pipelines = [pipeline.start(block, kept, "-", seconds) for _ in range(os.cpu_count() or 1)]
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            bare.append(pipeline.run(pipelines)["per_s"])
            site.forget()
            site.manage("build_index")
            embedded.append(site.embedded_per_s())
    yield report.at_least_ratio("build_index: embedding, to the pipeline", median(embedded), median(bare), GOAL)


class Site:
    """A gallery without running processes."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        made_up = {"SECRET_KEY": "measured", "ALLOWED_HOSTS": "localhost", "LOG_LEVEL": "ERROR"}
        made_up |= {"SIMSEARCH_DATA_DIR": str(data_dir), "REDIS_URL": f"unix://{data_dir}/nobody-listens.sock"}
        self.environment = kept | made_up | environment
        data_dir.mkdir()
        self.manage("migrate", "-v0")

    def manage(self, *arguments: str) -> None:
        """Run a command; it has to succeed."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def forget(self) -> None:
        """Delete all embeddings."""
        with sqlite3.connect(self._database) as database:
            database.execute("DELETE FROM gallery_embedding")

    def embedded_per_s(self) -> float:
        """Return pictures a second once every core has embedded its first batch, to the end of the last."""
        with sqlite3.connect(self._database) as database:
            written = [at for (at,) in database.execute("SELECT created_at FROM gallery_embedding ORDER BY created_at")]
        first = pipeline.BATCH * (os.cpu_count() or 1)
        took = datetime.fromisoformat(written[-1]) - datetime.fromisoformat(written[first - 1])
        return float((len(written) - first) / took.total_seconds())

    @property
    def _database(self) -> Path:
        return self.data_dir / "simsearch.sqlite3"


if __name__ == "__main__":
    main()
