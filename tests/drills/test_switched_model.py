"""Another model becomes active while everybody goes on searching: no query fails, none is answered by two models."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model  # type: ignore[import-untyped]

from engine.networks import registry
from tests import demo
from tests.drills.searching import Asked, Searches, wait_until
from tests.stack import ROOT, Stack

PER_KIND = 4
SEARCHERS, PACE_S = 2, 0.2
PATIENCE_S = 240


def model_of(search: Asked) -> str:
    return str(search.answer["index"]["model"])


def found(search: Asked) -> list[str]:
    return [match["image"]["id"] for match in search.answer["matches"]]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Provide a system of its own, which takes as many queries as come."""
    directory = tmp_path_factory.mktemp("switch")
    photos = demo.write_gallery(directory / "photos", PER_KIND)
    with Stack(directory, photos, SIMSEARCH_UPLOADS_PER_MINUTE="100000") as running:
        yield running


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with numbers by chance: its own would have to be downloaded. The same picture is still the nearest."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "alexnet.safetensors"
    save_file(get_model("alexnet", weights=None).state_dict(), path)
    return path


def start(stack: Stack, *arguments: str) -> "subprocess.Popen[str]":
    """switch_model in a second terminal; in small steps, so that there is time to meddle."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "switch_model", *arguments],
        cwd=ROOT,
        env=stack.environment | {"SIMSEARCH_BATCH": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(command: "subprocess.Popen[str]") -> str:
    result, errors = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 0, errors
    return result


def embeddings(stack: Stack, model_id: str) -> set[int]:
    return {row[0] for row in stack.rows("SELECT id FROM gallery_embedding WHERE network = %s", model_id)}


def late_embedding(stack: Stack, model_id: str) -> set[int]:
    """Return the id of the late picture's embedding; none while it is not embedded by that model."""
    rows = stack.rows(
        "SELECT embedding.id FROM gallery_embedding embedding JOIN gallery_image image USING (content_hash)"
        " WHERE image.label = 'late' AND embedding.network = %s",
        model_id,
    )
    return {row[0] for row in rows}


def copies(stack: Stack) -> dict[str, bytes]:
    images = stack.client.get("/api/images").json()["images"]
    return {image["id"]: stack.client.get(image["url"]).content for image in images}


def longest_wait(searches: Searches, begin: float, end: float) -> float:
    return max((search.done_at - search.at for search in searches.answered if begin <= search.at <= end), default=0)


@pytest.mark.timeout(900)
def test_a_switch_is_not_noticed(own: Stack, alexnet: Path, tmp_path: Path) -> None:
    bundled = own.client.get("/readyz").json()["checks"]["index"]["model"]
    new = registry.model_id("alexnet", registry.checksum(alexnet))
    asked_for = ["alexnet", "--weights", str(alexnet)]
    added = tmp_path / "added" / "late"
    added.mkdir(parents=True)
    (added / "late.jpg").write_bytes(demo.jpeg(demo.KINDS[0], 4711))

    with Searches(own, copies(own), SEARCHERS, PACE_S, PATIENCE_S, collapse="0") as searches:
        # Killed in the middle: the embeddings so far stay, and what serves is unchanged.
        killed = start(own, *asked_for)
        wait_until(lambda: len(embeddings(own, new)) >= PER_KIND, own, PATIENCE_S)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        half = embeddings(own, new)
        assert model_of(searches.ask(next(iter(searches.pictures)))) == bundled

        # Again; meanwhile a picture comes.
        began = time.time()
        command = start(own, *asked_for)
        wait_until(lambda: len(embeddings(own, new)) > len(half), own, PATIENCE_S)
        own.manage("import_images", str(added.parent)).check_returncode()
        assert command.poll() is None, "it was over before the picture came"
        result = finish(command)
        switched = time.time()
        print(f"{len(half)} embeddings before the kill; the second run took {switched - began:.1f} s\n{result}")
        assert half < embeddings(own, new)
        late = next(iter(own.client.get("/api/images", params={"label": "late"}).json()["images"]))
        searches.pictures[late["id"]] = (added / "late.jpg").read_bytes()
        wait_until(lambda: sum(search.at > switched for search in searches.answered) >= 20, own, PATIENCE_S)
        assert found(searches.ask(late["id"]))[0] == late["id"]

        # And back: nothing is embedded again, and the late picture once, if the first model has not seen it yet.
        there, again = embeddings(own, bundled), time.time()
        finish(start(own, "efficientnet_lite0"))
        back = time.time()
        wait_until(lambda: sum(search.at > back for search in searches.answered) >= 20, own, PATIENCE_S)
        assert embeddings(own, bundled) == there | late_embedding(own, bundled)
        assert len(late_embedding(own, bundled)) == 1
        assert found(searches.ask(late["id"]))[0] == late["id"]

    print(
        f"back in {back - again:.1f} s; {len(searches.answered)} searches; the longest took "
        f"{longest_wait(searches, 0, began):.1f} s before, {longest_wait(searches, began, switched):.1f} s during, "
        f"{longest_wait(searches, switched, again):.1f} s after the change"
    )
    assert searches.failures == []
    assert {len(found(search)) for search in searches.answered} == {10}
    assert [search.name for search in searches.answered if found(search)[0] != search.name] == []
    assert {model_of(search) for search in searches.answered} == {bundled, new}
    assert {model_of(search) for search in searches.answered if search.done_at < began} == {bundled}
    assert {model_of(search) for search in searches.answered if switched < search.at < again} == {new}
    assert {model_of(search) for search in searches.answered if search.at > back} == {bundled}
