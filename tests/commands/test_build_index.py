"""manage.py build_index."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from gallery.index import generations
from gallery.models import Embedding, IndexGeneration
from tasks.active_model import load_active
from tasks.indexing.build import index
from tasks.indexing.embedding import embed_step
from tests.engine.galleries import write_as_another_version
from tests.tasks.conftest import add

pytestmark = pytest.mark.django_db


def build_index(*options: str) -> str:
    out = io.StringIO()
    call_command("build_index", *options, stdout=out)
    return out.getvalue()


@pytest.mark.annoy
def test_it_embeds_and_activates() -> None:
    for number in range(12):
        add(number)
    assert "Active: generation" in build_index()
    active = generations.active()
    assert active
    assert (active.images, Embedding.objects.count()) == (12, 12)
    assert json.loads((active.directory / "manifest.json").read_text())["count"] == 12


def test_a_second_run_embeds_only_what_is_new() -> None:
    add(1)
    build_index()
    first = set(Embedding.objects.values_list("id", flat=True))
    add(2)
    build_index()
    assert set(Embedding.objects.values_list("id", flat=True)) > first
    assert Embedding.objects.count() == 2


def test_if_stale_builds_only_when_something_is_missing() -> None:
    add(1)
    assert "Active" in build_index("--if-stale")
    assert "up to date" in build_index("--if-stale")
    add(2)
    assert "Active" in build_index("--if-stale")


@pytest.mark.annoy
def test_if_stale_builds_an_index_of_another_version_anew() -> None:
    add(1)
    build_index()
    active = generations.active()
    assert active is not None
    write_as_another_version(active.directory)
    assert "Active" in build_index("--if-stale")
    assert "up to date" in build_index("--if-stale")


def test_a_dry_run_changes_nothing() -> None:
    add(1)
    assert "1 of 1 pictures would be embedded by efficientnet_lite0-" in build_index("--dry-run")
    assert not Embedding.objects.exists()
    assert not IndexGeneration.objects.exists()


def test_an_empty_gallery_is_one_clear_line() -> None:
    with pytest.raises(CommandError, match="no picture to index"):
        build_index()


def test_an_unknown_model_is_one_clear_line(settings: Settings) -> None:
    settings.SIMSEARCH_MODEL = "resnet"
    with pytest.raises(CommandError, match="resnet"):
        call_command("build_index", skip_checks=True)


def test_missing_weights_are_one_clear_line(settings: Settings, tmp_path: Path) -> None:
    settings.SIMSEARCH_WEIGHTS = str(tmp_path / "none.safetensors")
    with pytest.raises(CommandError, match=r"none\.safetensors"):
        call_command("build_index", skip_checks=True)


def test_a_build_under_way_is_one_clear_line() -> None:
    add(1)
    generations.start("efficientnet_lite0")
    with pytest.raises(CommandError, match="Another build"):
        build_index()


def test_a_distributed_build_waits_for_another_one() -> None:
    """The workers that embed build by themselves when they have nothing left to embed."""
    add(1)
    embedder = load_active()
    embed_step(embedder, 1)
    other, told = generations.start(embedder.model_id), list[str]()

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            generations.fail(other, "It ends here.")

    assert index(tell, distributed=True).startswith("Active: generation")
    assert told[0] == "Another build of the index is under way; this one begins when it has ended."
    assert generations.active() not in (None, other)


def test_without_a_worker_nothing_is_distributed() -> None:
    add(1)
    with pytest.raises(CommandError, match="No worker takes from the gallery queue"):
        build_index("--distributed")
    assert not Embedding.objects.exists()
