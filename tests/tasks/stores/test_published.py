"""An index that one host builds and another one fetches: two index folders, one S3 server."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from engine.errors import BadIndex
from engine.index import manifest as manifests
from engine.networks.embedder import Embedder
from gallery.index import generations
from gallery.models import Image, IndexGeneration
from gallery.operations import workers
from tasks import active_model, stores
from tasks.indexing.build import build_generation
from tasks.indexing.embedding import embed_step
from tasks.search.neighbours import Neighbours, SearchRequest
from tasks.stores import published
from tasks.stores.annoy_store import AnnoyStore
from tasks.worker import Worker
from tests.gallery.test_object_storage import on_s3
from tests.s3 import BUCKET, S3Server
from tests.tasks.conftest import add

pytestmark = [pytest.mark.django_db, pytest.mark.annoy]

Host = Callable[[str], None]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def on_host(server: S3Server, settings: Settings, tmp_path: Path) -> Host:
    """Return what makes this process one of the host of that name; it starts as one of `a`."""
    server.empty()
    on_s3(settings, server.environment)

    def be(name: str) -> None:
        settings.INDEX_ROOT, settings.WEIGHTS_ROOT = tmp_path / name / "index", tmp_path / name / "weights"

    be("a")
    return be


@pytest.fixture
def pictures(on_host: Host, gallery: list[Image]) -> list[Image]:
    """Provide a gallery in the bucket."""
    return gallery


def active() -> IndexGeneration:
    generation = generations.active()
    assert generation is not None
    return generation


def published_files(server: S3Server) -> set[str]:
    return {name for name in server.names() if name.startswith("index/") and "weights" not in name}


def test_a_build_publishes_its_files_and_another_host_fetches_them(
    server: S3Server, pictures: list[Image], embedder: Embedder, on_host: Host
) -> None:
    built = build_generation(embedder.model_id)
    assert published_files(server) == {f"index/{built.number}/{name}" for name in published.NAMES}
    on_host("b")
    assert not AnnoyStore().is_here(built)
    assert len(AnnoyStore().open(built).ids) == len(pictures)
    assert AnnoyStore().is_here(built)


def test_a_host_goes_on_with_the_old_one_until_the_new_one_is_there(
    server: S3Server, pictures: list[Image], worker: Worker, on_host: Host
) -> None:
    first = build_generation(worker.embedder.model_id)
    on_host("b")
    AnnoyStore().bring(first)
    worker.neighbours.refresh()
    on_host("a")
    second = build_generation(worker.embedder.model_id)
    server.client.delete_object(Bucket=BUCKET, Key=f"index/{second.number}/vectors.npy")
    on_host("b")
    for _ in range(2):
        worker.neighbours.refresh()
    assert (worker.neighbours.generation, worker.neighbours.tried) == (first.number, second.number)
    assert f"generation {second.number} is not on the host" in worker.neighbours.problem
    vectors = worker.neighbours.index.stored(worker.neighbours.index.ids[:1])[0]  # type: ignore[union-attr]
    assert len(worker.neighbours.search(vectors, [SearchRequest(3)])[0]) == 3

    on_host("a")
    published.publish(second, lambda *_: None)
    on_host("b")
    AnnoyStore().bring(second)
    worker.neighbours.refresh()
    assert (worker.neighbours.generation, worker.neighbours.problem) == (second.number, "")


def test_readyz_says_which_host_cannot_fetch_and_why(
    server: S3Server, pictures: list[Image], worker: Worker, on_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_generation(worker.embedder.model_id)
    server.client.delete_object(Bucket=BUCKET, Key=f"index/{built.number}/index.ann")
    on_host("b")
    store = AnnoyStore()
    monkeypatch.setattr(stores, "chosen", lambda: store)
    follower = store._follower
    follower.look()
    worker.report()
    [problem] = workers.index_problems(workers.alive(), built.number)
    assert f"could not fetch generation {built.number} from the storage (not in the storage)" in problem
    on_host("a")
    published.publish(built, lambda *_: None)
    on_host("b")
    follower.look()
    assert not store.is_here(built)  # it is not tried all the time
    monkeypatch.setattr(follower, "_again_at", 0.0)
    follower.look()
    assert store.is_here(built)
    worker.neighbours.refresh()
    worker.report()
    assert workers.index_problems(workers.alive(), built.number) == []


@pytest.mark.parametrize("name", ["vectors.npy", "index.ann", "manifest.json"])
def test_files_that_are_damaged_or_of_another_index_are_not_used(
    server: S3Server, pictures: list[Image], embedder: Embedder, on_host: Host, name: str
) -> None:
    built = build_generation(embedder.model_id)
    server.client.put_object(Bucket=BUCKET, Key=f"index/{built.number}/{name}", Body=b"something else")
    on_host("b")
    with pytest.raises(BadIndex):
        AnnoyStore().bring(built)
    assert not built.directory.exists()
    assert list(built.directory.parent.glob("*.fetching")) == []


def test_another_index_under_the_same_number_is_replaced(
    pictures: list[Image], embedder: Embedder, on_host: Host
) -> None:
    """As after a restore, which begins to count anew."""
    first = build_generation(embedder.model_id)
    add(99)
    assert embed_step(embedder, 4) == 1
    second = build_generation(embedder.model_id)
    on_host("b")
    AnnoyStore().bring(first)
    shutil.move(first.directory, second.directory)
    assert not AnnoyStore().is_here(second)
    AnnoyStore().bring(second)
    assert AnnoyStore().is_here(second)


def test_processes_of_a_host_fetch_once(
    server: S3Server, pictures: list[Image], embedder: Embedder, on_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_generation(embedder.model_id)
    on_host("b")
    fetched: list[int] = []
    true = published._fetch

    def slowly(generation: IndexGeneration) -> None:
        fetched.append(generation.number)
        time.sleep(0.5)
        true(generation)

    monkeypatch.setattr(published, "_fetch", slowly)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(published.bring, [built] * 4))
    assert fetched == [built.number]


def test_who_waited_for_one_that_could_not_fetch_does_not_try_again(
    server: S3Server, pictures: list[Image], embedder: Embedder, on_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_generation(embedder.model_id)
    on_host("b")
    begun, tried = threading.Event(), []

    def fail(generation: IndexGeneration) -> None:
        tried.append(generation.number)
        begun.set()
        time.sleep(0.5)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(published, "_fetch", fail)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(published.bring, built)
        begun.wait(10)
        second = threads.submit(published.bring, built)
        with pytest.raises(BadIndex, match="No space left"):
            first.result()
        with pytest.raises(BadIndex, match="its log says why"):
            second.result()
    assert tried == [built.number]


def test_a_build_that_cannot_be_published_leaves_the_old_one_active(
    server: S3Server, pictures: list[Image], embedder: Embedder, settings: Settings
) -> None:
    first = build_generation(embedder.model_id)
    with S3Server() as other:
        on_s3(settings, other.environment)
    with pytest.raises(generations.BuildFailed, match="storage"):  # it ended with the block
        build_generation(embedder.model_id)
    assert active() == first


def test_what_is_retired_leaves_the_storage_and_the_other_host(
    server: S3Server, pictures: list[Image], embedder: Embedder, on_host: Host
) -> None:
    follower = published.Follower()
    seen = set()
    for _ in range(generations.KEEP + 3):
        on_host("a")
        seen.add(build_generation(embedder.model_id).number)
        on_host("b")
        follower.look()
    kept = generations.wanted()
    assert len(kept) < len(seen)
    # The last build removes before it adds, as on the disk.
    assert {int(name.split("/")[1]) for name in published_files(server)} == kept
    on_host("b")
    here = {int(path.name) for path in active().directory.parent.iterdir() if path.name.isdecimal()}
    assert here == kept


def test_weights_of_ones_own_come_to_the_other_host(
    server: S3Server, on_host: Host, embedder: Embedder, db: None
) -> None:
    active_model.keep_weights(embedder)
    kept = active_model.kept_weights(embedder.model_id).read_bytes()
    on_host("b")
    assert not active_model.kept_weights(embedder.model_id).exists()
    loaded = active_model.load(embedder.model_id)
    assert (loaded.weights, loaded.weights.read_bytes() == kept) == (active_model.kept_weights(embedder.model_id), True)


def test_on_one_machine_nothing_is_looked_for(worker: Worker, gallery: list[Image], settings: Settings) -> None:
    built = build_generation(worker.embedder.model_id)
    assert "sha256" not in built.manifest
    assert AnnoyStore().is_here(built)
    (built.directory / manifests.NAME).unlink()
    assert AnnoyStore().is_here(built)
    store = AnnoyStore()
    store.follow()
    assert "index" not in {thread.name for thread in threading.enumerate()}


def test_added_pictures_are_in_the_delta_of_a_host_that_fetched(
    pictures: list[Image], embedder: Embedder, on_host: Host
) -> None:
    build_generation(embedder.model_id)
    on_host("b")
    AnnoyStore().bring(active())
    other = Neighbours(embedder.model_id)
    other.refresh()
    before = other.images
    add(77)
    assert embed_step(embedder, 4) == 1
    other.refresh()
    assert other.images == before + 1
