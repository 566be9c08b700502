"""manage.py evaluate: how good are the searches?"""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from engine.errors import BadIndex
from engine.index import Index
from gallery import generations
from gallery.progress import Progress
from tasks.evaluation import Evaluation, Way, evaluate, steps


class Command(BaseCommand):
    help = "Measure the active index: precision@k by label; recall@k and time against exact search and plain Annoy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--k", type=int, default=10, help="how many matches count (default 10)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *, k: int, json: bool, **_: Any) -> None:
        if k < 1:
            raise CommandError("--k is 1 or more.")
        active = generations.active()
        if active is None or not active.images:
            raise CommandError("There is no index yet; run manage.py build_index.")
        try:
            index = Index.open(active.directory)
        except BadIndex as error:
            raise CommandError(str(error)) from None
        with Progress(steps(index), "Evaluating", "picture") as progress:
            result = evaluate(index, active.network, k, progress.advance)
        self.stdout.write(_json(result, active.number, active.network) if json else _table(result, active.network))


def _json(result: Evaluation, generation: int, network: str) -> str:
    return json.dumps(asdict(result) | {"generation": generation, "network": network})


def _table(result: Evaluation, network: str) -> str:
    precision = "no picture has a label" if result.precision is None else f"{result.precision:.3f}"
    head = [
        f"network        {network}",
        f"pictures       {result.images} ({result.labelled} of those looked at have a label)",
        f"precision@{result.k:<4} {precision}",
        "",
        f"{'ms a search':14} recall@{result.k:<4}    p50    p95    p99   of 32: p50    p95    p99",
    ]
    return "\n".join([*head, *(_row(way) for way in result.ways)])


def _row(way: Way) -> str:
    one, batch = way.one, way.batch
    alone = f"{one.p50_ms:6.2f} {one.p95_ms:6.2f} {one.p99_ms:6.2f}"
    together = f"{batch.p50_ms:6.2f} {batch.p95_ms:6.2f} {batch.p99_ms:6.2f}"
    return f"{way.name:14} {way.recall:<9.3f}   {alone}        {together}"
