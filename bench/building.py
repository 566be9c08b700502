"""`manage.py build_index` against the bare pipeline: `python -m bench.building [--quick] [--model NAME]`.

Both read the same files, those that the gallery keeps of photographs, and are measured in turns; figures are medians
of the rounds.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median

from bench import options, photos, report
from bench.index import say
from bench.report import Row
from bench.rivals.clients import Pipeline
from bench.rivals.pipeline import BATCH
from bench.search import random_weights
from bench.stack import FOREIGN, ROOT

FULL = (2000, 5, 8.0)  # photographs (or as many as there are), rounds, seconds of each round of the pipeline
QUICK = (320, 2, 3.0)
GOAL = 0.95


def main() -> None:
    """Measure, print the table, write bench/out/building.json."""
    asked = options.with_model(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        effort = QUICK if asked.quick else FULL
        report.publish("building", list(measure(Path(directory), asked.model, asked.photos, *effort)))


def measure(directory: Path, model: str, folder: Path, count: int, rounds: int, seconds: float) -> Iterator[Row]:
    """Import the pictures, embed them again in every round, yield the figures."""
    count = min(count, len(list(folder.rglob("*.jpg")))) or count
    pictures = photos.some(directory / "photos", count, 0, folder)
    weights = str(random_weights(directory / "alexnet.pt")) if model == "alexnet" else ""
    site = Site(directory / "data", model, weights)
    say(f"{model}, {count} {pictures.kind}: importing them")
    site.manage("import_images", str(pictures.gallery))
    kept = directory / "kept"
    kept.mkdir()
    for path in (site.data_dir / "pictures" / "gallery").rglob("*.jpg"):
        (kept / path.name).symlink_to(path)
    embedded, bare, whole_s = [], [], []
    with Pipeline(model, weights, kept) as pipeline:
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}")
            bare.append(pipeline.batches(seconds)[0])
            site.forget()
            began = time.perf_counter()
            site.manage("build_index")
            whole_s.append(time.perf_counter() - began)
            embedded.append(site.embedded_per_s())
    yield Row(f"network {model}, {pictures.kind}", count, "pictures")
    yield report.at_least_ratio("build_index: embedding, against the pipeline", median(embedded), median(bare), GOAL)
    yield Row("build_index: the whole command, with its start and the index", median(whole_s), "s")


class Site:
    """A gallery without running processes."""

    def __init__(self, data_dir: Path, model: str, weights: str) -> None:
        self.data_dir = data_dir
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        own = {"SIMSEARCH_DATA_DIR": str(data_dir), "SIMSEARCH_MODEL": model, "SIMSEARCH_WEIGHTS": weights}
        own["SIMSEARCH_BATCH"] = str(BATCH)
        made_up = {"SECRET_KEY": "measured", "ALLOWED_HOSTS": "localhost", "LOG_LEVEL": "ERROR"}
        self._environment = kept | own | made_up | {"REDIS_URL": f"unix://{data_dir}/nobody-listens.sock"}
        data_dir.mkdir()
        self.manage("migrate", "-v0")

    def manage(self, *arguments: str) -> None:
        """Run a command; it has to succeed."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def forget(self) -> None:
        """Delete all embeddings."""
        with sqlite3.connect(self._database) as database:
            database.execute("DELETE FROM gallery_embedding")

    def embedded_per_s(self) -> float:
        """Pictures a second once every core has embedded its first batch, to the end of the last."""
        with sqlite3.connect(self._database) as database:
            written = [at for (at,) in database.execute("SELECT created_at FROM gallery_embedding ORDER BY created_at")]
        first = BATCH * (os.cpu_count() or 1)
        took = datetime.fromisoformat(written[-1]) - datetime.fromisoformat(written[first - 1])
        return float((len(written) - first) / took.total_seconds())

    @property
    def _database(self) -> Path:
        return self.data_dir / "simsearch.sqlite3"


if __name__ == "__main__":
    main()
