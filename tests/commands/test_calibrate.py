"""manage.py calibrate."""

import io
import json
import re
import signal
import subprocess
from pathlib import Path
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
from tests.sites import Site
from tests.tasks.conftest import add, add_drawn, drawn
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


def fill(labelled: bool) -> None:
    for number in range(EACH * 16):
        if number % 16 < KINDS:
            add(number, label=f"kind {number % 16}" if labelled else "")
    call_command("build_index", stdout=io.StringIO())


@pytest.fixture
def labelled() -> None:
    fill(labelled=True)


def model_id() -> str:
    return Embedding.objects.values_list("model_id", flat=True)[0]


def test_the_four_distributions_are_measured(labelled: None, embedder: Embedder) -> None:
    cosines = figures()["cosines"]
    count = KINDS * EACH
    assert cosines["altered"]["pairs"] == 7 * count
    assert cosines["one_label"]["pairs"] == KINDS * EACH * (EACH - 1) / 2
    assert cosines["other_label"]["pairs"] == count * (count - 1) / 2 - cosines["one_label"]["pairs"]
    assert cosines["nearest"]["pairs"] == count
    for one in cosines.values():
        assert -1 <= one["p5"] <= one["p50"] <= one["p95"] <= one["p99"] <= 1.0001
    assert cosines["other_label"]["p50"] < cosines["one_label"]["p50"] < cosines["altered"]["p50"]


def test_cosines_are_those_of_the_embeddings(labelled: None) -> None:
    vectors = to_vectors(list(Embedding.objects.order_by("id").values_list("vector", flat=True)))
    rows = Embedding.objects.order_by("id").values_list("image__label", flat=True)
    labels = np.array(list(rows))
    first, second = np.triu_indices(len(vectors), 1)
    pairs = (vectors @ vectors.T)[first, second]
    np.fill_diagonal(others := vectors @ vectors.T, -1)
    result = figures()["cosines"]
    assert result["one_label"]["p50"] == pytest.approx(np.median(pairs[labels[first] == labels[second]]), abs=1e-3)
    assert result["other_label"]["p50"] == pytest.approx(np.median(pairs[labels[first] != labels[second]]), abs=1e-3)
    assert result["nearest"]["p50"] == pytest.approx(np.median(others.max(axis=1)), abs=1e-3)


def test_an_alteration_is_compared_with_the_picture_itself(labelled: None, embedder: Embedder) -> None:
    rows = Embedding.objects.select_related("image")
    kept = to_vectors([row.vector for row in rows])
    pictures = [decoding.decode(row.image.picture_file.path.read_bytes()) for row in rows]
    result = figures()["alterations"]
    assert list(result) == list(ALTERATIONS)
    for name in ("mirrored", "half size"):
        altered = embedder.embed([ALTERATIONS[name](picture) for picture in pictures])
        assert result[name]["p50"] == pytest.approx(np.median(np.vecdot(altered, kept)), abs=2e-3)


def test_a_copy_is_a_near_duplicate_and_not_the_nearest_other_picture(labelled: None) -> None:
    before = figures()
    add_drawn(ALTERATIONS["JPEG quality 30"](drawn(0)), "kind 0")
    call_command("build_index", stdout=io.StringIO())
    after = figures()
    assert after["cosines"]["nearest"]["p99"] == pytest.approx(before["cosines"]["nearest"]["p99"], abs=0.01)
    count = KINDS * EACH
    more = after["pictures_with_a_near_duplicate"] * (count + 1) - before["pictures_with_a_near_duplicate"] * count
    assert round(more) == 2


def test_pictures_without_a_fingerprint_have_no_copies(labelled: None) -> None:
    add_drawn(ALTERATIONS["JPEG quality 30"](drawn(0)), "kind 0")
    call_command("build_index", stdout=io.StringIO())
    Embedding.objects.update(fingerprint=None)
    result = figures()
    assert result["pictures_with_a_near_duplicate"] == 0
    assert result["altered_copies_recognised"] > 0.5


def test_thresholds_are_stored_only_when_requested(labelled: None) -> None:
    own = registry.get(registry.DEFAULT).thresholds
    result = figures()
    assert not result["written"]
    assert thresholds(model_id()) == own
    written = figures("--write")
    assert written["written"]
    assert vars(thresholds(model_id())) == written["thresholds"] == result["thresholds"]
    assert thresholds(model_id()) != own
    assert Calibration.objects.get().pictures == KINDS * EACH


def test_without_labels_it_keeps_what_it_cannot_measure() -> None:
    fill(labelled=False)
    own = registry.get(registry.DEFAULT).thresholds
    assert re.search(r"similar and very_similar: the model's own are kept", calibrate("--write"))
    stored = thresholds(model_id())
    assert (stored.similar, stored.very_similar) == (own.similar, own.very_similar)


def test_hidden_pictures_do_not_count(labelled: None) -> None:
    Image.objects.filter(label="kind 3").update(is_hidden=True)
    assert figures()["pictures"] == (KINDS - 1) * EACH


def test_pictures_without_a_file_are_passed_over(labelled: None) -> None:
    for image in Image.objects.filter(label="kind 3"):
        image.picture_file.path.unlink()
    assert figures()["cosines"]["altered"]["pairs"] == 7 * (KINDS - 1) * EACH


def test_people_get_a_table(labelled: None) -> None:
    result = calibrate()
    assert re.search(r"\n  mirrored +24 +0\.\d{3}", result)
    assert re.search(r"\nsame +0\.\d{3} +0\.880\n", result)
    assert "--write" in result


def test_without_an_index_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="build_index"):
        calibrate()


def test_a_gallery_of_a_few_pictures_is_refused() -> None:
    add(0)
    call_command("build_index", stdout=io.StringIO())
    with pytest.raises(CommandError, match="1 visible pictures"):
        calibrate()


@pytest.mark.django_db(transaction=True)
def test_a_stopped_calibration_stores_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")
    site.output("make_demo")
    site.output("build_index")
    with site.start("calibrate", "--write", stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr
        result = b""
        while b"Measuring" not in result:
            result = process.stderr.readline()
            assert result, "calibrate ended before it was stopped"
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.decode().splitlines()[-1] == "CommandError: Stopped; nothing was stored."
    stored = "from gallery.models import Calibration\nprint(json.dumps(Calibration.objects.count()))"
    assert site.run(stored) == 0
