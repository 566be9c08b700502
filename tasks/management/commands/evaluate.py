"""manage.py evaluate: measure the search quality."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from engine.errors import BadIndex, IndexAway
from gallery.backup import backup
from gallery.curation.progress import Progress
from gallery.index import generations
from gallery.storage import files
from tasks import stores
from tasks.measuring import evaluation_page
from tasks.measuring.evaluation import Evaluation, Labelled, NoLabels, evaluate, steps, worst_queries

WORST_LABELS = 5


class Command(BaseCommand):
    help = "Measure the active index: precision by label (leave-one-out), recall against exact search, latency."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--k", type=int, default=10, help="how many matches count (default 10)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the worst queries as pictures")

    def handle(self, *, k: int, json: bool, html: Path | None, **_: Any) -> None:
        if k < 1:
            raise CommandError("--k is 1 or more.")
        active = generations.active()
        if active is None or not active.images:
            raise CommandError("There is no index yet; run manage.py build_index.")
        try:
            with _written(html) if html else nullcontext() as page:
                index = stores.chosen().open(active)
                labelled = Labelled(index, active.model_id)
                with Progress(steps(index, labelled), "Evaluating", "picture") as progress:
                    result, rankings = evaluate(index, labelled, k, progress.advance)
                if page:
                    page.write(evaluation_page.render(result, worst_queries(rankings, labelled), active).encode())
        except (BadIndex, IndexAway, NoLabels) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was written.", returncode=130) from None
        fields = {"model": active.model_id, "generation": active.number} | asdict(result)
        self.stdout.write(dumps(fields) if json else _table(result, active.model_id))


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """Open a file before the measurement and replace it afterwards. Raises CommandError when it cannot be written."""
    try:
        with backup.into(path) as stream:
            yield stream
    except files.StorageAway:
        raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror}).") from None


def _table(result: Evaluation, model_id: str) -> str:
    index = result.index
    lines = [
        f"model                   {model_id}",
        f"pictures                {result.images} ({result.labelled} visible with a label, {result.queries} queries)",
        f"precision@1             {result.precision_at_1:.3f}",
        f"{f'precision@{result.k}':23} {result.precision_at_k:.3f}",
        f"mean average precision  {result.mean_average_precision:.3f}",
        f"{f'recall@{result.k} of the index':23} {index.recall_at_k:.3f}",
        f"one search, ms          p50 {index.p50_ms:.2f}, p95 {index.p95_ms:.2f}, p99 {index.p99_ms:.2f}",
        "",
        f"{'label':32} pictures  precision@{result.k}",
        *(f"{one.label:32} {one.pictures:8}  {one.precision_at_k:.3f}" for one in result.labels),
        "",
        "Labels with the lowest precision, and how many wrong matches of which label they get:",
    ]
    for one in result.labels[:WORST_LABELS]:
        wrong = ", ".join(f"{other.label}: {other.matches}" for other in one.confusions)
        lines.append(f"{one.label:32} {wrong or 'none'}")
    return "\n".join(lines)
