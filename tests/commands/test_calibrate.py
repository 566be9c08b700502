"""manage.py calibrate."""

import io
import json
import os
import re
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from engine.images import decoding
from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery.models import Calibration, Embedding, Image
from tasks.measuring.alterations import ALTERATIONS
from tasks.measuring.thresholds import thresholds
from tasks.search.delta import to_vectors
from tests.tasks.conftest import add, add_drawn, drawn, embed
from tests.tasks.conftest import embedder as embedder

pytestmark = pytest.mark.django_db

KINDS, EACH = 6, 4


def calibrate(*options: str) -> str:
    out = io.StringIO()
    call_command("calibrate", *options, stdout=out)
    return out.getvalue()


def figures(*options: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(calibrate("--json", *options))
    return body


def fill(embedder: Embedder, labelled: bool) -> None:
    for number in range(EACH * 16):
        if number % 16 < KINDS:
            add(number, label=f"kind {number % 16}" if labelled else "")
    embed(embedder)
    call_command("build_index", stdout=io.StringIO())


@pytest.fixture
def labelled(embedder: Embedder) -> None:
    fill(embedder, labelled=True)


def model_id() -> str:
    return Embedding.objects.values_list("model_id", flat=True)[0]


def test_cosines_are_those_of_the_pictures(labelled: None, embedder: Embedder) -> None:
    """Four distributions, and one for each alteration of the pictures."""
    rows = Embedding.objects.select_related("image").order_by("id")
    labels = np.array([row.image.label for row in rows])
    kept = to_vectors([row.vector for row in rows])
    first, second = np.triu_indices(len(kept), 1)
    pairs = (kept @ kept.T)[first, second]
    np.fill_diagonal(others := kept @ kept.T, -1)
    pictures = [decoding.decode(row.image.picture_file.path.read_bytes()) for row in rows]
    report = figures()
    cosines = report["cosines"]
    count = KINDS * EACH
    assert cosines["altered"]["pairs"] == 7 * count
    assert cosines["one_label"]["pairs"] == KINDS * EACH * (EACH - 1) / 2
    assert cosines["other_label"]["pairs"] == count * (count - 1) / 2 - cosines["one_label"]["pairs"]
    assert cosines["nearest"]["pairs"] == count
    for one in cosines.values():
        assert -1 <= one["p5"] <= one["p50"] <= one["p95"] <= one["p99"] <= 1.0001
    assert cosines["other_label"]["p50"] < cosines["one_label"]["p50"] < cosines["altered"]["p50"]
    assert cosines["one_label"]["p50"] == pytest.approx(np.median(pairs[labels[first] == labels[second]]), abs=1e-3)
    assert cosines["other_label"]["p50"] == pytest.approx(np.median(pairs[labels[first] != labels[second]]), abs=1e-3)
    assert cosines["nearest"]["p50"] == pytest.approx(np.median(others.max(axis=1)), abs=1e-3)
    assert list(report["alterations"]) == list(ALTERATIONS)
    for name in ("mirrored", "half size"):
        altered = embedder.embed([ALTERATIONS[name](picture) for picture in pictures])
        assert report["alterations"][name]["p50"] == pytest.approx(np.median(np.vecdot(altered, kept)), abs=2e-3)


def test_a_copy_is_a_near_duplicate_and_not_the_nearest_other_picture(labelled: None) -> None:
    before = figures()
    add_drawn(ALTERATIONS["JPEG quality 30"](drawn(0)), "kind 0")
    call_command("build_index", stdout=io.StringIO())
    after = figures()
    assert after["cosines"]["nearest"]["p99"] == pytest.approx(before["cosines"]["nearest"]["p99"], abs=0.01)
    count = KINDS * EACH
    more = after["pictures_with_a_near_duplicate"] * (count + 1) - before["pictures_with_a_near_duplicate"] * count
    assert round(more) == 2
    Embedding.objects.update(fingerprint=None)
    without = figures()
    assert without["pictures_with_a_near_duplicate"] == 0
    assert without["altered_copies_recognised"] > 0.5


def test_people_get_a_table_and_thresholds_are_stored_only_when_requested(labelled: None) -> None:
    own = registry.get(registry.DEFAULT).thresholds
    table = calibrate()
    assert re.search(r"\n  mirrored +24 +0\.\d{3}", table)
    [same] = re.findall(r"\nsame +(0\.\d{3}) +0\.880\n", table)
    assert "--write" in table
    assert thresholds(model_id()) == own
    written = figures("--write")
    assert written["written"]
    assert vars(thresholds(model_id())) == written["thresholds"]
    assert f"{written['thresholds']['same']:.3f}" == same
    assert thresholds(model_id()) != own
    assert Calibration.objects.get().pictures == KINDS * EACH


def test_without_labels_it_keeps_what_it_cannot_measure(embedder: Embedder) -> None:
    fill(embedder, labelled=False)
    own = registry.get(registry.DEFAULT).thresholds
    assert re.search(r"similar and very_similar: the model's own are kept", calibrate("--write"))
    stored = thresholds(model_id())
    assert (stored.similar, stored.very_similar) == (own.similar, own.very_similar)


def test_hidden_pictures_do_not_count_and_those_without_a_file_are_passed_over(labelled: None) -> None:
    Image.objects.filter(label="kind 3").update(is_hidden=True)
    for image in Image.objects.filter(label="kind 4"):
        image.picture_file.path.unlink()
    report = figures()
    assert report["pictures"] == (KINDS - 1) * EACH
    assert report["cosines"]["altered"]["pairs"] == 7 * (KINDS - 2) * EACH


def test_without_an_index_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="build_index"):
        calibrate()


def test_a_gallery_of_a_few_pictures_is_refused() -> None:
    add(0)
    call_command("build_index", stdout=io.StringIO())
    with pytest.raises(CommandError, match="1 visible pictures"):
        calibrate()


def test_a_stopped_calibration_stores_nothing(labelled: None) -> None:
    """It is stopped while it reads a picture: a pipe, whose writer knows when somebody reads."""
    image = Image.objects.earliest("embeddings__id")
    image.picture_file.path.unlink()
    os.mkfifo(image.picture_file.path)

    def stop() -> None:
        with image.picture_file.path.open("wb"):
            time.sleep(0.1)  # not before the reader's `with` has the file as well
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(60)

    stopped = threading.Event()
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(CommandError, match=r"^Stopped; nothing was stored\.$") as refused:
        calibrate("--write")
    stopped.set()
    thread.join()
    assert refused.value.returncode == 130
    assert not Calibration.objects.exists()
