"""A rebuild follows by itself, once, however many pictures were added."""

from collections.abc import Callable, Iterator

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

import tasks.indexing.build
from engine.images.fingerprints import Fingerprints
from engine.index.protocol import Ids
from engine.index.ranking import Vectors
from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.models import Embedding, Image, IndexGeneration
from gallery.operations import workers
from gallery.queries import wakeup
from tasks import worker as process
from tasks.tasks import curate, rebuild, sweep
from tasks.worker import Worker
from tests.engine.galleries import write_as_another_version
from tests.tasks.conftest import add

NOTHING_NEW = "There is too little new to rebuild."


def woken() -> list[str]:
    """Return the tasks that the gallery's worker was woken for."""
    with workers.connect() as redis:
        messages = b" ".join(redis.lrange("gallery", 0, -1)).decode()
    return [task for task in (wakeup.CURATE, wakeup.REBUILD) if f'"{task}"' in messages]


@pytest.fixture
def swept(
    worker: Worker,
    gallery: list[Image],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Callable[[], list[str]]:
    """Return a function that runs the sweep of a worker and returns the tasks that were woken."""
    monkeypatch.setattr(process, "_current", worker)

    def run() -> list[str]:
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        return woken()

    return run


def test_a_stale_index_asks_for_a_rebuild_when_all_is_embedded(
    gallery: list[Image], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert curate() == 0
    assert woken() == [wakeup.REBUILD]


def test_what_is_left_to_embed_comes_first(
    gallery: list[Image], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    add(99)
    with django_capture_on_commit_callbacks(execute=True):
        assert curate() == 1
    assert woken() == [wakeup.CURATE]


def test_many_messages_make_one_rebuild(gallery: list[Image]) -> None:
    messages = [rebuild() for _ in range(3)]
    made = IndexGeneration.objects.get()
    assert messages == [f"{made} with 16 pictures is active", *[NOTHING_NEW] * 2]


@pytest.mark.annoy
def test_an_index_of_another_version_is_built_anew_by_itself(worker: Worker, swept: Callable[[], list[str]]) -> None:
    assert rebuild().endswith("is active")
    old = generations.active()
    assert old is not None
    write_as_another_version(old.directory)
    assert swept() == [wakeup.REBUILD]
    assert "this version reads" in worker.neighbours.problem
    assert [rebuild(), rebuild()] == [f"generation {old.number + 1} with 16 pictures is active", NOTHING_NEW]
    sweep()
    assert (worker.neighbours.problem, worker.neighbours.generation) == ("", old.number + 1)


@pytest.mark.annoy
def test_a_damaged_index_waits_for_somebody_to_look(worker: Worker, gallery: list[Image]) -> None:
    rebuild()
    active = generations.active()
    assert active is not None
    (active.directory / "manifest.json").write_text("{}")
    worker.neighbours.refresh()
    assert "is damaged" in worker.neighbours.problem
    assert rebuild() == NOTHING_NEW


def test_who_requests_a_rebuild_gets_one(gallery: list[Image]) -> None:
    assert not generations.request_rebuild()  # there is no index yet: it is built without a request
    assert rebuild().endswith("is active")
    assert generations.request_rebuild()
    second = [rebuild(), rebuild()]
    assert second == [f"{generations.active()} with 16 pictures is active", NOTHING_NEW]
    assert IndexGeneration.objects.count() == 2


def test_a_request_survives_a_lost_message(worker: Worker, swept: Callable[[], list[str]]) -> None:
    rebuild()
    assert swept() == []
    generations.request_rebuild()
    assert swept() == []  # a look counts all embeddings: once a minute
    worker._next_look = 0.0
    assert swept() == [wakeup.REBUILD]


def test_the_first_index_is_built_although_its_message_was_lost(swept: Callable[[], list[str]]) -> None:
    assert swept() == [wakeup.REBUILD]


def test_a_failed_build_is_tried_again_only_when_requested(worker: Worker, swept: Callable[[], list[str]]) -> None:
    rebuild()
    active = generations.active()
    assert active is not None
    IndexGeneration.objects.filter(pk=active.pk).update(images=1000)  # most pictures were deleted since
    assert generations.status(active.model_id) is IndexStatus.STALE
    generations.fail(generations.start(active.model_id), "The disk is full.")
    assert swept() == []
    generations.request_rebuild()
    worker._next_look = 0.0
    assert swept() == [wakeup.REBUILD]


def test_a_request_whose_build_fails_is_not_tried_for_ever(gallery: list[Image]) -> None:
    rebuild()
    generations.request_rebuild()
    Embedding.objects.all().delete()
    assert rebuild().startswith("There is no picture to index yet")
    active = generations.active()
    assert active is not None
    assert not active.is_rebuild_requested


def test_many_deleted_pictures_make_a_rebuild_pay(gallery: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "REBUILD_AT_LEAST", 4)
    rebuild()
    for image in gallery[:3]:
        image.delete()
    assert rebuild() == NOTHING_NEW
    gallery[3].delete()
    assert rebuild().endswith("with 12 pictures is active")
    assert rebuild() == NOTHING_NEW


def test_pictures_deleted_while_the_index_is_built_are_left_out(
    gallery: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = [gallery[3]]

    def read(ids: Ids) -> Iterator[tuple[Vectors, Fingerprints]]:
        while doomed:
            doomed.pop().delete()
        return blocks(ids)

    blocks = tasks.indexing.build._blocks
    monkeypatch.setattr(tasks.indexing.build, "_blocks", read)
    assert rebuild().endswith("with 15 pictures is active")


def test_a_build_under_way_is_told(gallery: list[Image]) -> None:
    generations.start("efficientnet_lite0")
    assert "Another build" in rebuild()


def test_an_empty_gallery_is_no_error(db: None) -> None:
    assert not rebuild().endswith("is active")
