"""manage.py calibrate: measure the thresholds of the active model in this gallery."""

from argparse import ArgumentParser
from dataclasses import asdict
from json import dumps
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError

from engine.errors import EngineError
from engine.networks import registry
from gallery.curation.progress import Progress
from gallery.index import generations
from gallery.models import IndexGeneration
from tasks import active_model, stores
from tasks.measuring import thresholds
from tasks.measuring.alterations import ALTERATIONS
from tasks.measuring.calibration import (
    Cosines,
    Derived,
    IndexedPictures,
    Measured,
    TooFewPictures,
    derive,
    measure,
    steps,
)

PERCENTILES = (5, 50, 95, 99)
COSINES = ("altered", "one_label", "other_label", "nearest")


class Command(BaseCommand):
    help = (
        "Measure the cosines of altered copies, of one label, of different labels and of the nearest other picture, "
        "and derive the thresholds of the scores in words."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", action="store_true", help="store the thresholds for the active model")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *, write: bool, json: bool, **_: Any) -> None:
        active = generations.active()
        if active is None or not active.images:
            raise CommandError("There is no index yet; run manage.py build_index.")
        try:
            gallery = IndexedPictures(stores.chosen().open(active), active.model_id)
            embedder = active_model.load(active.model_id)
            with Progress(steps(gallery), "Measuring", "picture") as progress:
                measured = measure(gallery, embedder, progress.advance)
        except (EngineError, TooFewPictures) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was stored.", returncode=130) from None
        used = thresholds.thresholds(active.model_id)
        derived = derive(measured, registry.identified(active.model_id).thresholds)
        if write:
            thresholds.store(active.model_id, derived.thresholds, len(gallery.rows))
        report = _report(active, len(gallery.rows), measured, derived) | {"used": asdict(used), "written": write}
        self.stdout.write(dumps(report) if json else _table(report))


def _report(active: IndexGeneration, pictures: int, measured: Measured, derived: Derived) -> dict[str, Any]:
    return {
        "model": active.model_id,
        "generation": active.number,
        "pictures": pictures,
        "cosines": {name: _distribution(getattr(measured, name)) for name in COSINES},
        "alterations": {
            name: _distribution(cosines) for name, cosines in zip(ALTERATIONS, measured.altered.T, strict=True)
        },
        "thresholds": asdict(derived.thresholds),
        "not_measured": derived.kept,
        "altered_copies_recognised": measured.recognised(derived.thresholds.duplicate),
        "pictures_with_a_near_duplicate": measured.duplicated(derived.thresholds.duplicate),
    }


def _distribution(cosines: Cosines) -> dict[str, float] | None:
    if not cosines.size:
        return None
    values = np.percentile(cosines, PERCENTILES).tolist()
    named = {f"p{percent}": round(value, 4) for percent, value in zip(PERCENTILES, values, strict=True)}
    return {"pairs": cosines.size} | named


def _table(report: dict[str, Any]) -> str:
    lines = [
        f"model     {report['model']}",
        f"pictures  {report['pictures']}",
        "",
        f"{'cosine of two pictures':40} {'pairs':>9}" + "".join(f"{f'{percent} %':>8}" for percent in PERCENTILES),
        _row("a picture and its altered copy", report["cosines"]["altered"]),
        *(_row(f"  {name}", one) for name, one in report["alterations"].items()),
        _row("pictures of one label", report["cosines"]["one_label"]),
        _row("pictures of different labels", report["cosines"]["other_label"]),
        _row("nearest picture that is not a copy", report["cosines"]["nearest"]),
        "",
        f"{'threshold':40} measured  in use",
        *(
            f"{name:40} {'-' if name in report['not_measured'] else f'{value:.3f}':>8}  {report['used'][name]:.3f}"
            for name, value in report["thresholds"].items()
        ),
        "",
        f"near-duplicates: cosine from {report['thresholds']['duplicate']:.3f} on, and fingerprints that agree",
        f"{'  altered copies that are recognised':40} {report['altered_copies_recognised']:8.1%}",
        f"{'  pictures of the gallery that have one':40} {report['pictures_with_a_near_duplicate']:8.1%}",
        "",
    ]
    if report["not_measured"]:
        names = " and ".join(report["not_measured"])
        lines.append(f"Too few pictures have a label to measure {names}: the model's own are kept.")
    not_stored = "Nothing was stored; manage.py calibrate --write stores these thresholds."
    return "\n".join([*lines, "Stored." if report["written"] else not_stored])


def _row(name: str, one: dict[str, float] | None) -> str:
    if one is None:
        return f"{name:40}      none"
    return f"{name:40} {one['pairs']:9,}" + "".join(f"{one[f'p{percent}']:8.3f}" for percent in PERCENTILES)
