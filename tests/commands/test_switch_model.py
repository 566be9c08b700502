"""manage.py switch_model: another model becomes active, and nothing that could be found is lost."""

import fcntl
import io
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django import Settings

from engine.networks import registry
from engine.networks.embedder import Embedder
from gallery.index import embeddings, generations
from gallery.models import Embedding, Image, IndexGeneration
from tasks.active_model import kept_weights, load_active
from tasks.indexing.embedding import embed_step
from tasks.indexing.model_switch import LOCK
from tests.health.reports import worker as report
from tests.tasks.conftest import add, embedder
from tests.tasks.weights import retrained

__all__ = ["embedder"]

pytestmark = pytest.mark.django_db

PICTURES = 3


def switch(*options: str) -> str:
    out = io.StringIO()
    call_command("switch_model", *options, stdout=out)
    return out.getvalue()


def build_index(*options: str) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    call_command("build_index", *options, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


@pytest.fixture
def bundled() -> str:
    """Return the id of the default model, which has embedded a few pictures."""
    for number in range(PICTURES):
        add(number)
    build_index()
    active_id = generations.active_model_id()
    assert active_id
    return active_id


@pytest.fixture(scope="module")
def _retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return retrained(tmp_path_factory.mktemp("weights") / "other.safetensors")


@pytest.fixture
def other(tmp_path: Path, _retrained: Path) -> Path:
    """Return a weights file of the default model that is not the packaged one."""
    return Path(shutil.copy(_retrained, tmp_path))


def model_id(weights: Path) -> str:
    return registry.model_id("efficientnet_lite0", registry.checksum(weights))


def state() -> list[object]:
    """Return all that a refusal must leave as it was."""
    kept = sorted(path.name for path in settings.WEIGHTS_ROOT.glob("[!.]*"))
    rows = [*Embedding.objects.order_by("id").values_list("id", flat=True), *IndexGeneration.objects.values_list()]
    return [kept, rows]


def test_the_other_model_finds_every_picture(bundled: str, other: Path) -> None:
    result = switch("efficientnet_lite0", "--weights", str(other))
    active = generations.active()
    assert active
    assert active.model_id == model_id(other) != bundled
    assert active.images == PICTURES
    assert f"{model_id(other)} is active, with {PICTURES} pictures ({active})" in result
    assert embeddings.count_by_model() == {bundled: PICTURES, model_id(other): PICTURES}


def test_the_next_process_loads_it_without_the_file(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    other_id = model_id(other)
    other.unlink()
    assert load_active().model_id == other_id


def test_going_back_embeds_and_builds_nothing(bundled: str, other: Path) -> None:
    first = generations.active()
    switch("efficientnet_lite0", "--weights", str(other))
    there = state()
    result = switch("efficientnet_lite0")
    assert generations.active() == first
    assert f"{bundled} is active" in result
    assert [len(part) for part in state()] == [len(part) for part in there]  # type: ignore[arg-type]


def test_one_that_is_kept_is_known_by_its_identity(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    switch("efficientnet_lite0")
    switch(model_id(other))
    assert generations.active_model_id() == model_id(other)


def test_going_back_embeds_what_was_added_since(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    added = add(50)
    build_index()
    switch("efficientnet_lite0")
    assert Embedding.objects.filter(image=added, model_id=bundled).exists()


@pytest.mark.annoy
def test_a_damaged_index_is_not_gone_back_to(bundled: str, other: Path) -> None:
    first = generations.active()
    assert first
    switch("efficientnet_lite0", "--weights", str(other))
    (first.directory / "ids.npy").write_bytes(b"")
    switch("efficientnet_lite0")
    active = generations.active()
    assert active
    assert (active.model_id, active.images) == (bundled, PICTURES)
    assert active.number > first.number


def test_what_serves_already_is_said_and_left(bundled: str) -> None:
    before = state()
    assert switch("efficientnet_lite0") == f"{bundled} is the active model already.\n"
    assert state() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["resnet50"], "resnet50"),
        (["efficientnet_lite0-000000000000-p1"], "efficientnet_lite0-000000000000-p1"),
        (["efficientnet_lite0", "--weights", "/nowhere/mine.safetensors"], "/nowhere/mine.safetensors"),
        (
            ["vgg16", "--weights", str(registry.packaged_weights(registry.get("efficientnet_lite0")))],
            "does not hold the weights of vgg16",
        ),
    ],
)
def test_what_cannot_be_loaded_is_one_line_and_changes_nothing(bundled: str, options: list[str], expected: str) -> None:
    before = state()
    with pytest.raises(CommandError, match=expected) as refused:
        switch(*options)
    assert "\n" not in str(refused.value)
    assert state() == before


def test_an_empty_gallery_is_one_clear_line(other: Path) -> None:
    with pytest.raises(CommandError, match="no picture to index"):
        switch("efficientnet_lite0", "--weights", str(other))


def test_a_change_under_way_keeps_others_out(bundled: str, other: Path) -> None:
    with (settings.WEIGHTS_ROOT / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="Another switch_model"):
            switch("efficientnet_lite0", "--weights", str(other))
        assert f"{bundled} is active." in switch()
    assert generations.active_model_id() == bundled


def test_without_a_name_it_lists_the_models(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    add(50)
    lines = switch().splitlines()
    assert lines[0] == f"{model_id(other)} is active."
    assert f"{bundled}: {PICTURES} of {PICTURES + 1} pictures embedded." in lines


def test_before_the_first_index_no_model_is_active() -> None:
    assert "No model is active yet" in switch()


# What is kept


@pytest.mark.annoy
def test_the_one_before_the_last_is_deleted(bundled: str, other: Path, tmp_path: Path) -> None:
    second = retrained(tmp_path / "second.safetensors", seed=2)
    directory = generations.active()
    assert directory
    switch("efficientnet_lite0", "--weights", str(other))
    assert f"Deleted: what was kept of {bundled}." in switch("efficientnet_lite0", "--weights", str(second))
    assert embeddings.model_ids() == {model_id(other), model_id(second)}
    assert {path.name for path in settings.WEIGHTS_ROOT.glob("[!.]*")} == {model_id(other), model_id(second)}
    assert not directory.directory.exists()


def test_prune_leaves_only_what_serves(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    switch("--prune")
    assert embeddings.model_ids() == {model_id(other)}
    assert generations.active_model_id() == model_id(other)
    assert Image.objects.count() == embeddings.count_by_model()[model_id(other)] == PICTURES


def test_before_the_first_index_nothing_is_deleted(embedder: Embedder) -> None:
    add(1)
    embed_step(embedder, 1)
    with pytest.raises(CommandError, match="no index yet"):
        switch("--prune")
    assert embeddings.count_by_model() == {embedder.model_id: 1}


def test_what_a_worker_still_runs_is_not_deleted(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    report(model_id=bundled)
    assert f"Kept: {bundled}" in switch("--prune")
    assert embeddings.count_by_model()[bundled] == PICTURES


# The environment


def test_the_environment_does_not_change_what_serves(bundled: str, other: Path, settings: Settings) -> None:
    settings.SIMSEARCH_WEIGHTS = str(other)
    result, warned = build_index("--if-stale")
    assert "up to date" in result
    assert f"manage.py switch_model efficientnet_lite0 --weights {other}" in warned
    assert generations.active_model_id() == bundled


def test_the_environment_says_by_what_the_first_index_is_made(other: Path, settings: Settings) -> None:
    settings.SIMSEARCH_MODEL, settings.SIMSEARCH_WEIGHTS = "efficientnet_lite0", str(other)
    add(1)
    result, warned = build_index()
    assert f"with 1 pictures by {model_id(other)}." in result
    assert warned == ""
    assert generations.active_model_id() == model_id(other)


def test_weights_that_are_nowhere_are_one_line_with_a_way_out(bundled: str, other: Path) -> None:
    switch("efficientnet_lite0", "--weights", str(other))
    kept_weights(model_id(other)).unlink()
    with pytest.raises(CommandError, match=r"copy them to .* manage\.py switch_model efficientnet_lite0"):
        build_index()
    switch("efficientnet_lite0")
    assert generations.active_model_id() == bundled
