"""The index in a real Milvus server, and in Milvus Lite's: searches as with Annoy, in step with the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from numpy.typing import NDArray
from pytest_django import Settings

from engine.errors import IndexAway, OldIndex
from engine.index.milvus import Milvus
from engine.index.pca import unit
from gallery.index import generations
from gallery.index.generations import IndexStatus
from gallery.models import Embedding, Image
from tasks import checks, stores
from tasks.indexing.build import build_generation
from tasks.search.neighbours import Neighbours, SearchRequest
from tasks.stores.milvus_store import MilvusStore, alias_of, name_of
from tasks.stores.milvus_sync import sync
from tests import milvus
from tests.engine.galleries import MODEL_ID, make_vectors
from tests.environment import IS_MILVUS
from tests.tasks.known import add_at, add_vectors, at

ROWS = 600


# Setting up the real server, and emptying it after each test, takes most of the time of these tests.
REAL = pytest.param("milvus", marks=() if IS_MILVUS else pytest.mark.drill)


@pytest.fixture(scope="module", params=[REAL, "milvus-lite"])
def server(request: pytest.FixtureRequest) -> Iterator[milvus.Server]:
    if reason := milvus.unavailable(request.param):
        pytest.skip(reason)
    with milvus.Server(request.param) as running:
        yield running


@pytest.fixture
def store(server: milvus.Server, settings: Settings, db: None) -> Iterator[MilvusStore]:
    settings.SIMSEARCH_INDEX, settings.SIMSEARCH_MILVUS_URI = "milvus", server.uri
    stores.chosen.cache_clear()
    store = stores.chosen()
    assert isinstance(store, MilvusStore)
    yield store
    store.clean(set())
    stores.chosen.cache_clear()


def opened() -> Neighbours:
    neighbours = Neighbours(MODEL_ID)
    neighbours.refresh()
    assert neighbours.index is not None, neighbours.problem
    return neighbours


def titles(neighbours: Neighbours, degrees: float, request: SearchRequest) -> list[str]:
    neighbours.refresh()
    [found] = neighbours.search(at(degrees)[None], [request])
    known = dict(Image.objects.values_list("pk", "title"))
    return [known[match.image] for match in found]


def ids_in(store: MilvusStore) -> list[int]:
    active = generations.active()
    assert active is not None
    ids = np.fromiter(Embedding.objects.order_by("id").values_list("id", flat=True), np.int64)
    return [int(id_) for id_ in store.milvus.known(name_of(active), ids)]


def exact(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.argsort(-(unit(vectors.astype("<f2").astype(np.float32)) @ query), kind="stable")[:10]


def test_searches_find_what_comparing_everything_finds(store: MilvusStore) -> None:
    vectors = make_vectors(ROWS)
    images = add_vectors(MODEL_ID, vectors)
    generation = build_generation(MODEL_ID)
    assert generation.manifest["recall"] >= 0.99
    neighbours, queries = opened(), make_vectors(20, seed=5)
    found = neighbours.search(queries, [SearchRequest(10)] * len(queries))
    for query, matches in zip(queries, found, strict=True):
        true = exact(vectors, query)
        assert [match.image for match in matches] == [images[row].pk for row in true]
        cosines = unit(vectors[true].astype("<f2").astype(np.float32)) @ query
        np.testing.assert_allclose([match.similarity for match in matches], cosines, atol=1e-5)


def test_a_new_picture_is_found_before_it_is_in_the_collection_and_after(store: MilvusStore) -> None:
    add_at(0, title="old")
    build_generation(MODEL_ID)
    neighbours = opened()
    add_at(40, title="new")
    assert titles(neighbours, 40, SearchRequest(2)) == ["new", "old"]
    assert sync() == 1
    assert len(ids_in(store)) == 2
    neighbours.refresh()
    # On PostgreSQL the last ones are compared exactly as well: a lower id may be committed later.
    assert len(neighbours._delta.ids) == (0 if connection.vendor == "sqlite" else 2)
    assert neighbours.images == 2
    assert titles(neighbours, 40, SearchRequest(2)) == ["new", "old"]
    assert titles(opened(), 40, SearchRequest(2)) == ["new", "old"]
    assert sync() == 0


@contextmanager
def uncommitted(degrees: float, title: str) -> Iterator[None]:
    """Hold a transaction open, in a connection of its own, that adds a picture; it commits at the end."""
    added, commit = threading.Event(), threading.Event()

    def add() -> None:
        with transaction.atomic():
            add_at(degrees, title=title)
            added.set()
            commit.wait()
        connection.close()

    thread = threading.Thread(target=add)
    thread.start()
    added.wait()
    try:
        yield
    finally:
        commit.set()
        thread.join()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: ids become visible in order")
@pytest.mark.django_db(transaction=True)
def test_what_was_committed_late_is_found_and_gets_into_the_collection(store: MilvusStore) -> None:
    add_vectors(MODEL_ID, make_vectors(3))
    build_generation(MODEL_ID)
    neighbours = opened()
    with uncommitted(40, "late"):
        vector = at(80).astype("<f2").tobytes()
        image = Image.objects.create(content_hash="f" * 64, title="early", width_px=1, height_px=1)
        Embedding.objects.create(image_id=image.content_hash, model_id=MODEL_ID, vector=vector)
        assert sync() == 1
        assert titles(neighbours, 40, SearchRequest(1)) == ["early"]
    late, early = (Embedding.objects.get(image__title=title).pk for title in ("late", "early"))
    assert late < early
    assert titles(neighbours, 40, SearchRequest(2)) == ["late", "early"]
    assert late not in ids_in(store)
    add_at(120, title="next")
    assert sync() == 2
    assert late in ids_in(store)
    assert titles(opened(), 40, SearchRequest(2)) == ["late", "early"]


def test_what_was_synchronised_needs_no_rebuild(store: MilvusStore) -> None:
    add_at(0)
    build_generation(MODEL_ID)
    add_vectors(MODEL_ID, make_vectors(200))
    assert generations.status(MODEL_ID) is IndexStatus.BEHIND
    sync()
    assert generations.status(MODEL_ID) is IndexStatus.CURRENT


def test_a_picture_in_both_the_collection_and_the_delta_is_one_match(store: MilvusStore) -> None:
    add_at(0, title="a")
    build_generation(MODEL_ID)
    neighbours = opened()
    add_at(20, title="b")
    neighbours.refresh()
    sync()
    # Not refreshed: this worker has not seen yet that the collection took it in.
    [found] = neighbours.search(at(20)[None], [SearchRequest(10)])
    assert len(found) == 2


def test_hidden_and_deleted_pictures_disappear_at_once(store: MilvusStore) -> None:
    for degrees in (0, 10, 20):
        add_at(degrees, title=str(degrees))
    build_generation(MODEL_ID)
    neighbours = opened()
    Image.objects.filter(title="0").update(is_hidden=True)
    assert titles(neighbours, 0, SearchRequest(3)) == ["10", "20"]
    Image.objects.filter(title="10").delete()
    assert titles(neighbours, 0, SearchRequest(3)) == ["20"]
    Image.objects.filter(title="0").update(is_hidden=False)
    assert titles(neighbours, 0, SearchRequest(3)) == ["0", "20"]


def test_a_label_leaves_the_rest_out_however_far_away_its_pictures_are(store: MilvusStore) -> None:
    for image in add_vectors(MODEL_ID, unit(at(0) + 0.05 * make_vectors(ROWS))):
        Image.objects.filter(pk=image.pk).update(label="many")
    add_at(90, title="far", label="few")
    add_at(120, title="farther", label="few")
    build_generation(MODEL_ID)
    assert titles(opened(), 0, SearchRequest(10, labels=("few",))) == ["far", "farther"]


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_label_that_was_just_changed_counts(store: MilvusStore, one_by_one: bool) -> None:
    near, far = add_at(10, title="near", label="cat"), add_at(60, title="far", label="dog")
    build_generation(MODEL_ID)
    neighbours, cats, dogs = opened(), SearchRequest(10, labels=("cat",)), SearchRequest(1, labels=("dog",))
    near.refresh_from_db()
    if one_by_one:
        near.label = "dog"
        near.save(update_fields=["label"])
    else:
        Image.objects.filter(pk=near.pk).update(label="dog")
    assert titles(neighbours, 0, cats) == []
    assert titles(neighbours, 0, dogs) == ["near"]
    sync()
    assert not Image.objects.filter(is_relabelled=True).exists()
    assert titles(neighbours, 0, cats) == []
    assert titles(neighbours, 0, dogs) == ["near"]
    assert far.label == "dog"


def test_a_label_that_changes_while_an_index_is_built_waits(store: MilvusStore) -> None:
    image = add_at(10, title="near", label="cat")
    build_generation(MODEL_ID)
    building = generations.start(MODEL_ID)
    Image.objects.filter(pk=image.pk).update(label="dog")
    sync()
    assert Image.objects.filter(is_relabelled=True).exists()
    generations.fail(building, "Stopped.")
    sync()
    assert not Image.objects.filter(is_relabelled=True).exists()


def test_a_generation_can_be_rolled_back(store: MilvusStore) -> None:
    add_at(0, title="a")
    first = build_generation(MODEL_ID)
    add_at(20, title="b")
    second = build_generation(MODEL_ID)
    neighbours = opened()
    assert neighbours.generation == second.number
    generations.roll_back()
    assert titles(neighbours, 20, SearchRequest(10)) == ["b", "a"]
    assert neighbours.generation == first.number
    sync()
    assert titles(neighbours, 20, SearchRequest(10)) == ["b", "a"]
    assert len(ids_in(store)) == 2


def test_the_alias_stands_for_the_active_collection(store: MilvusStore, server: milvus.Server) -> None:
    add_at(0)
    for _ in range(2):
        generation = build_generation(MODEL_ID)
        sync()
        described = Milvus(server.uri)._client.describe_alias(alias_of(generation))
        assert described["collection_name"] == name_of(generation)


def test_collections_that_no_row_asks_for_are_deleted(store: MilvusStore) -> None:
    add_at(0)
    first = build_generation(MODEL_ID)
    store.milvus.create(name_of(first).rpartition("__")[0] + "__99", 128)
    for _ in range(3):
        last = build_generation(MODEL_ID)
    kept = store.milvus.names(alias_of(last))
    assert name_of(last) in kept
    assert len(kept) == 4
    build_generation(MODEL_ID)
    assert name_of(first) not in store.milvus.names(alias_of(last))


def test_another_installation_on_the_server_keeps_its_collections(store: MilvusStore, settings: Settings) -> None:
    add_at(0)
    generation = build_generation(MODEL_ID)
    settings.SIMSEARCH_MILVUS_PREFIX = settings.SIMSEARCH_MILVUS_PREFIX[:-1]
    store.clean(set())
    settings.SIMSEARCH_MILVUS_PREFIX += "x"
    assert store.milvus.has(f"{name_of(generation)}") is False  # under its own prefix there is none
    assert store.milvus.names("own_") != []


def test_a_collection_that_was_lost_is_built_again(store: MilvusStore) -> None:
    add_at(0)
    generation = build_generation(MODEL_ID)
    store.milvus.drop(name_of(generation))
    assert store.is_outdated(generation)
    with pytest.raises(OldIndex):
        store.open(generation)


def test_a_folder_of_milvus_lite_is_refused(settings: Settings) -> None:
    """It is locked for one process."""
    settings.SIMSEARCH_INDEX, settings.SIMSEARCH_MILVUS_URI = "milvus", "/srv/simsearch/milvus.db"
    assert [message.id for message in checks.index_can_be_reached()] == ["simsearch.E005"]
    settings.SIMSEARCH_MILVUS_URI = "http://127.0.0.1:19530"
    assert checks.index_can_be_reached() == []


def test_a_server_that_is_away_raises_index_away(settings: Settings, db: None) -> None:
    settings.SIMSEARCH_INDEX, settings.SIMSEARCH_MILVUS_URI = "milvus", "http://127.0.0.1:9"
    add_at(0)
    stores.chosen.cache_clear()
    with pytest.raises(generations.BuildFailed, match=r"Milvus at http://127\.0\.0\.1:9 does not answer"):
        build_generation(MODEL_ID)
    with pytest.raises(IndexAway):
        stores.chosen().clean(set())
    number = generations.start(MODEL_ID)
    generations.activate(number, images=1, last_embedding=1, manifest={})
    with pytest.raises(CommandError, match="does not answer"):  # each start of the system runs it
        call_command("build_index", if_stale=True)
    stores.chosen.cache_clear()
