"""manage.py evaluate."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from gallery.index import generations
from gallery.models import Image
from tasks.indexing.build import build_generation
from tests.engine.galleries import MODEL_ID
from tests.gallery.rows import add_image
from tests.tasks.conftest import add
from tests.tasks.known import add_at

pytestmark = pytest.mark.django_db


def evaluate(*options: str) -> str:
    out = io.StringIO()
    call_command("evaluate", *options, stdout=out)
    return out.getvalue()


def figures(*options: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(evaluate("--json", *options))
    return body


@pytest.fixture
def known() -> None:
    """Three pictures of label a, two of b, one of c; what does not count lies among them."""
    for degrees, label in ((0, "a"), (10, "a"), (25, "b"), (45, "b"), (70, "a"), (150, "c")):
        add_at(degrees, label, f"{label} at {degrees}")
    add_at(2)
    add_at(1, "a", is_hidden=True)
    build_generation(MODEL_ID)


@pytest.fixture
def indexed() -> None:
    for number in range(48):
        add(number, label=f"kind {number % 16}")
    call_command("build_index", stdout=io.StringIO())


def test_precision_is_that_computed_by_hand(known: None) -> None:
    result = figures("--k", "2")
    active = generations.active()
    assert active
    assert (result["k"], result["images"], result["labelled"], result["queries"]) == (2, 8, 6, 5)
    assert (result["generation"], result["model"]) == (active.number, MODEL_ID)
    # Of a at 0, a at 10, b at 25, b at 45 and a at 70; c has no other picture that could be found.
    assert result["precision_at_1"] == pytest.approx((1 + 1 + 0 + 1 + 0) / 5, abs=1e-4)
    assert result["precision_at_k"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 2 + 1 / 2 + 0) / 5, abs=1e-4)
    average_precisions = [(1 + 2 / 4) / 2, (1 + 2 / 4) / 2, 1 / 2, 1, (1 / 3 + 2 / 4) / 2]
    assert result["mean_average_precision"] == pytest.approx(sum(average_precisions) / 5, abs=1e-4)


def test_labels_come_worst_first_with_their_confusions(known: None) -> None:
    assert figures("--k", "2")["labels"] == [
        {"label": "a", "pictures": 3, "precision_at_k": 0.3333, "confusions": [{"label": "b", "matches": 4}]},
        {"label": "b", "pictures": 2, "precision_at_k": 0.5, "confusions": [{"label": "a", "matches": 2}]},
    ]


def test_a_gallery_of_fewer_than_k_pictures_is_measured(known: None) -> None:
    result = figures("--k", "50")
    assert result["precision_at_k"] == pytest.approx((2 / 5 + 2 / 5 + 1 / 5 + 1 / 5 + 2 / 5) / 5, abs=1e-4)


def test_the_index_is_measured(indexed: None) -> None:
    index = figures("--k", "2")["index"]
    assert index["recall_at_k"] == 1.0
    assert 0 < index["p50_ms"] <= index["p95_ms"] <= index["p99_ms"]


def test_wrong_labels_are_seen(indexed: None) -> None:
    right = figures("--k", "2")["precision_at_k"]
    assert right > 0.5
    for number, image in enumerate(Image.objects.order_by("id")):
        Image.objects.filter(pk=image.pk).update(label=f"lot {number % 16}")
    assert figures("--k", "2")["precision_at_k"] < right / 2


def test_people_get_a_table(known: None) -> None:
    result = evaluate("--k", "2")
    assert re.search(r"precision@2 +0\.400\n", result)
    assert re.search(r"mean average precision +0\.683\n", result)
    assert re.search(r"\na +3 +0\.333\n", result)
    assert re.search(r"\na +b: 4\n", result)


# --- The page -----------------------------------------------------------------------------------------------


def test_the_page_shows_the_worst_query_first_with_its_matches(known: None, tmp_path: Path) -> None:
    evaluate("--k", "2", "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    titles = re.findall(r"<strong>\w</strong> (\w at \d+)<br>(?:precision )?([\d.]+)", page)
    assert titles[:3] == [("a at 70", "0.00"), ("b at 45", "0.906"), ("b at 25", "0.707")]
    assert len(titles) == 5 * 3
    assert page.count('class="wrong"') == 6


def test_the_page_holds_the_pictures_and_refers_to_nothing_outside(tmp_path: Path) -> None:
    images = [add_image(seed, label="noise") for seed in range(3)]
    call_command("build_index", stdout=io.StringIO())
    evaluate("--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    shown = {base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) for source in sources}
    assert shown == {image.thumbnail_file.path.read_bytes() for image in images}
    assert not re.search(r"https?:|//|href|<script|url\(|@import", re.sub(r'src="data:[^"]*"', "", page))


def test_the_page_escapes_titles_and_labels(tmp_path: Path) -> None:
    for degrees in (0, 10):
        add_at(degrees, "<b>label</b>", "<script>alert('title')</script> \" onerror=alert(1) x=\"")
    add_at(20, "a & b")
    build_generation(MODEL_ID)
    evaluate("--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;label&lt;/b&gt;" in page
    assert "&lt;script&gt;" in page
    assert 'onerror=alert(1) x="' not in page
    assert "a &amp; b" in page


def test_a_picture_without_a_file_leaves_a_gap(known: None, tmp_path: Path) -> None:
    evaluate("--html", str(tmp_path / "page.html"))
    assert 'class="missing"' in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_one_clear_line(known: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere/page\.html cannot be written"):
        evaluate("--html", str(tmp_path / "nowhere" / "page.html"))
    with pytest.raises(CommandError, match="cannot be written"):
        evaluate("--html", str(tmp_path))


def test_a_failure_leaves_the_page_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("the last one")
    add_at(0)
    build_generation(MODEL_ID)
    with pytest.raises(CommandError):
        evaluate("--html", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_text() == "the last one"
    assert not list(tmp_path.glob(".page.html*"))


# --- What it refuses ----------------------------------------------------------------------------------------


def test_without_an_index_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="build_index"):
        evaluate()


def test_without_labels_it_says_what_to_do() -> None:
    add_at(0)
    add_at(10, "a")
    add_at(20, "b")
    build_generation(MODEL_ID)
    with pytest.raises(CommandError, match="label"):
        evaluate()


def test_k_is_positive() -> None:
    with pytest.raises(CommandError, match="--k"):
        evaluate("--k", "0")


@pytest.mark.annoy
def test_a_damaged_index_is_one_clear_line(indexed: None) -> None:
    active = generations.active()
    assert active
    (active.directory / "ids.npy").write_bytes(b"")
    with pytest.raises(CommandError, match=r"ids\.npy"):
        evaluate()
