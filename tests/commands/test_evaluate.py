"""manage.py evaluate."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from gallery import generations
from gallery.models import Image
from tests.tasks.conftest import add

pytestmark = pytest.mark.django_db


def evaluate(*options: str) -> str:
    out = io.StringIO()
    call_command("evaluate", *options, stdout=out)
    return out.getvalue()


@pytest.fixture
def indexed() -> None:
    for number in range(48):
        add(number, label=f"kind {number % 16}")
    call_command("build_index", stdout=io.StringIO())


def test_the_figures_are_measured(indexed: None) -> None:
    told = json.loads(evaluate("--json", "--k", "2"))
    active = generations.active()
    assert active
    assert (told["images"], told["labelled"], told["k"], told["generation"]) == (48, 48, 2, active.number)
    assert 0.5 < told["precision"] <= 1.0
    ways = {way["name"]: way for way in told["ways"]}
    assert set(ways) == {"index", "exact", "annoy"}
    assert ways["index"]["recall"] == ways["exact"]["recall"] == 1.0
    for way in ways.values():
        for times in (way["one"], way["batch"]):
            assert 0 < times["p50_ms"] <= times["p95_ms"] <= times["p99_ms"]


def test_wrong_labels_are_seen(indexed: None) -> None:
    right = json.loads(evaluate("--json", "--k", "2"))["precision"]
    for number, image in enumerate(Image.objects.order_by("id")):
        Image.objects.filter(pk=image.pk).update(label=f"lot {number % 16}")
    assert json.loads(evaluate("--json", "--k", "2"))["precision"] < right / 2


def test_hidden_pictures_do_not_count(indexed: None) -> None:
    Image.objects.filter(label="kind 3").update(is_hidden=True)
    assert json.loads(evaluate("--json", "--k", "2"))["labelled"] == 45


def test_people_get_a_table(indexed: None) -> None:
    assert "precision@10" in evaluate()


def test_without_an_index_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="build_index"):
        evaluate()


def test_a_damaged_index_is_one_clear_line(indexed: None) -> None:
    active = generations.active()
    assert active
    (active.directory / "ids.npy").write_bytes(b"")
    with pytest.raises(CommandError, match=r"ids\.npy"):
        evaluate()
