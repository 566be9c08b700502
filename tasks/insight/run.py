"""Run the requested analyses, one a task."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from engine.errors import EngineError
from gallery.index import generations
from gallery.insight import analyses
from gallery.models import Analysis
from gallery.persistence import AWAY
from gallery.queries import wakeup
from tasks.insight import duplicates, mislabels, quality
from tasks.insight.surroundings import Advance, EmbeddedPictures
from tasks.measuring.evaluation import NoLabels
from tasks.measuring.thresholds import thresholds
from tasks.search import near_duplicates
from tasks.search.neighbours import Neighbours

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 0.5
Keep = Callable[[], dict[str, Any]]  # writes the rows and returns the result; in a transaction


class NotPossible(Exception):
    """There is nothing to analyse; the text is a sentence."""


def run_next() -> str:
    """Run the analysis that waits longest; returns a sentence about it."""
    analysis = analyses.claim()
    if analysis is None:
        return "No analysis waits."
    try:
        return _run(analysis)
    except analyses.Superseded:
        return f"{analysis}: another worker has taken over"
    except AWAY:  # it is tried again when its lease ends
        raise
    except (NotPossible, NoLabels, EngineError) as error:
        analyses.fail(analysis, str(error))
        return f"{analysis}: {error}"
    except Exception:
        analyses.fail(analysis, "Something went wrong. The log of the gallery worker says what.")
        raise
    finally:
        wakeup.wake_workers(wakeup.ANALYSE)  # there may be more


def _run(analysis: Analysis) -> str:
    began, reported_at = time.monotonic(), 0.0

    def advance(done: int, total: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= REPORT_EVERY_S:
            reported_at = time.monotonic()
            analyses.advance(analysis, done, total)

    keep = _find(Analysis.Kind(analysis.kind), advance)
    with transaction.atomic():
        result = keep()
        analyses.finish(analysis, result | {"seconds": round(time.monotonic() - began, 1)})
    logger.info("analysed %s", analysis)
    return f"{analysis}: done"


def _find(kind: Analysis.Kind, advance: Advance) -> Keep:
    """Run an analysis without changing anything; returns what keeps its result."""
    active = generations.active()
    if active is None or not active.images:
        raise NotPossible("There is no index yet. It is built once pictures are embedded.")
    if kind is Analysis.Kind.EVALUATION:
        figures = quality.measure(active, advance)
        return lambda: figures
    neighbours = Neighbours(active.model_id)
    if kind is Analysis.Kind.MAP:
        from tasks.insight import layout  # scikit-learn and SciPy: 60 MB that nothing else of a worker needs

        return partial(layout.keep, layout.find(neighbours, advance))
    rule = near_duplicates.configured(thresholds(active.model_id).duplicate)
    gallery = EmbeddedPictures(neighbours, rule)
    if kind is Analysis.Kind.DUPLICATES:
        return partial(duplicates.keep, duplicates.find(gallery, advance))
    return partial(mislabels.keep, mislabels.find(gallery, advance))
