"""Searching a generation: exact cosines, as many results as asked for, in a settled order."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.index import manifest as manifests
from engine.index.annoy_index import Index
from engine.index.check import self_test
from engine.index.ranking import Hits
from engine.index.tuning import TREES
from tests.engine.galleries import MODEL_ID, build, make_vectors

COUNT = 2000
IDS = np.arange(COUNT) * 3 + 100


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    gallery = make_vectors(COUNT)
    gallery[[500, 900, 1500]] = gallery[20]  # copies of one picture
    return gallery


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return make_vectors(64, seed=8)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, vectors: NDArray[np.float32]) -> Path:
    path = tmp_path_factory.mktemp("index") / "1"
    build(path, IDS, vectors, MODEL_ID)
    return path


@pytest.fixture(scope="module")
def index(directory: Path) -> Index:
    return Index.open(directory, MODEL_ID)


def true_ten(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.int64]:
    return IDS[np.argsort(-(vectors @ query), kind="stable")[:10]]


def test_it_finds_the_true_ten(index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    found = index.search(queries, 10)
    share = [np.isin(hits.ids, true_ten(vectors, query)).mean() for hits, query in zip(found, queries, strict=True)]
    assert np.mean(share) >= 0.99


def test_similarities_are_exact_cosines_best_first(
    index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    for hits, query in zip(index.search(queries, 10), queries, strict=True):
        cosines = vectors[np.searchsorted(IDS, hits.ids)] @ query
        np.testing.assert_allclose(hits.similarities, cosines, atol=1e-6)
        assert np.all(np.diff(hits.similarities) <= 0)
        assert hits.ids.dtype == np.int64
        assert hits.similarities.dtype == np.float32


@pytest.mark.parametrize("k", [1, 10, 100, 700, COUNT, COUNT + 50])
def test_every_query_gets_as_many_results_as_there_are(index: Index, queries: NDArray[np.float32], k: int) -> None:
    for hits in index.search(queries[:3], k):
        assert len(hits.ids) == len(set(hits.ids.tolist())) == len(hits.similarities) == min(k, COUNT)


def test_copies_tie_and_come_by_id(index: Index, vectors: NDArray[np.float32]) -> None:
    for hits in (index.search(vectors[[900]], 4)[0], index.exact(vectors[[900]], 4)[0]):
        assert hits.ids.tolist() == IDS[[20, 500, 900, 1500]].tolist()
        assert len(set(hits.similarities.tolist())) == 1


def test_a_batch_gets_what_its_queries_get_one_by_one(index: Index, queries: NDArray[np.float32]) -> None:
    together = index.search(queries[:32], 10)
    alone = [index.search(queries[[row]], 10)[0] for row in range(32)]
    for one, other in zip(together, alone, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.similarities.tolist() == other.similarities.tolist()


def test_no_query_gets_no_answer(index: Index, queries: NDArray[np.float32]) -> None:
    assert index.search(queries[:0], 10) == []


def test_the_exact_search_gives_the_true_ten(
    index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    for hits, query in zip(index.exact(queries, 10), queries, strict=True):
        assert hits.ids.tolist() == true_ten(vectors, query).tolist()


def test_a_search_among_some_is_exact_and_ignores_strangers(
    index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    some = IDS[[1999, 7, 7, 1200, 300, 0]]
    hits = index.search_among(queries[0], np.concatenate([[101, -5, 10**12], some]), 10)
    expected = sorted(set(some.tolist()), key=lambda i: -float(vectors[(i - 100) // 3] @ queries[0]))
    assert hits.ids.tolist() == expected
    assert index.search_among(queries[0], some, 2).ids.tolist() == expected[:2]


def test_a_search_among_all_is_the_exact_search(index: Index, queries: NDArray[np.float32]) -> None:
    assert same(index.search_among(queries[0], IDS, 10), index.exact(queries[:1], 10)[0])


def test_a_search_among_none_finds_none(index: Index, queries: NDArray[np.float32]) -> None:
    for ids in (np.array([], np.int64), np.array([1])):
        assert len(index.search_among(queries[0], ids, 10).ids) == 0


@pytest.mark.parametrize(
    ("bad", "k"),
    [
        (np.ones((1, 4095), np.float32), 10),
        (np.ones(4096, np.float32), 10),
        (np.full((1, 4096), np.nan, np.float32), 10),
        (make_vectors(1), 0),
    ],
)
def test_a_senseless_query_is_refused(index: Index, bad: NDArray[np.float32], k: int) -> None:
    with pytest.raises(ValueError, match=r"\."):
        index.search(bad, k)


def test_an_open_index_survives_its_directory(directory: Path, tmp_path: Path, queries: NDArray[np.float32]) -> None:
    shutil.copytree(directory, tmp_path / "copy")
    index = Index.open(tmp_path / "copy")
    before = index.search(queries, 10)
    shutil.rmtree(tmp_path / "copy")
    assert all(same(one, other) for one, other in zip(before, index.search(queries, 10), strict=True))
    assert len(index.exact(queries[:1], COUNT)[0].ids) == COUNT


def test_an_index_of_another_model_is_refused(directory: Path) -> None:
    with pytest.raises(BadIndex) as refusal:
        Index.open(directory, "alexnet-0123456789ab-p1")
    assert str(refusal.value) == (
        f"The index was made by another model ({MODEL_ID}); this worker runs alexnet-0123456789ab-p1; "
        "run manage.py build_index."
    )


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="there is no such directory"):
        Index.open(tmp_path / "nothing")


@pytest.mark.parametrize("count", [1, 2, 5, 100, 127, 129])
def test_a_small_gallery_is_searched_by_annoy_and_misses_nothing(tmp_path: Path, count: int) -> None:
    gallery = make_vectors(count)
    made = build(tmp_path / "1", list(range(count)), gallery, MODEL_ID)
    index = Index.open(tmp_path / "1", MODEL_ID)
    for queries in (gallery[:9], make_vectors(9, seed=1)):
        found, true = index.search(queries, 10), index.exact(queries, 10)
        assert [len(hits.ids) for hits in found] == [min(10, count)] * len(queries)
        assert made.parameters.trees == TREES
        if count <= 100:
            assert made.is_exact
            assert all(same(one, other) for one, other in zip(found, true, strict=True))
        else:
            assert made.recall >= 0.99
            assert [hits.ids[0] for hits in found] == [hits.ids[0] for hits in true]
    self_test(tmp_path / "1", MODEL_ID)


def test_a_gallery_of_copies_is_searchable(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    build(tmp_path / "1", range(300), np.repeat(vectors[:1], 300, axis=0), MODEL_ID)
    [hits] = Index.open(tmp_path / "1").search(vectors[:1], 10)
    assert hits.ids.tolist() == list(range(10))


def test_growing_candidates_compare_more_and_keep_what_they_have(index: Index, queries: NDArray[np.float32]) -> None:
    [candidates] = index.candidates(queries[:1], 10)
    first, before = candidates.best(10), candidates.compared
    candidates.grow()
    assert candidates.compared == 3 * before
    assert candidates.best(candidates.compared).ids[:10].tolist() == candidates.best(10).ids.tolist()
    assert set(first.ids.tolist()) <= set(candidates.best(candidates.compared).ids.tolist())
    while candidates.compared < COUNT:
        candidates.grow()
    assert candidates.reliable == COUNT
    assert same(candidates.best(COUNT), index.exact(queries[:1], COUNT)[0])


def test_annoy_is_queried_ahead_for_what_grows(index: Index, queries: NDArray[np.float32]) -> None:
    [alone], [ahead] = index.candidates(queries[:1], 10), index.candidates(queries[:1], 10, ahead=3)
    assert alone.compared == ahead.compared
    assert same(alone.best(10), ahead.best(10))
    ahead.grow()
    assert ahead.compared == 3 * alone.compared


def test_the_self_test_passes_in_a_process_of_its_own(directory: Path) -> None:
    done = check(directory, MODEL_ID)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_self_test_says_in_one_line_what_is_wrong(directory: Path) -> None:
    done = check(directory, "vgg16-0123456789ab-p1")
    assert done.returncode == 1
    assert done.stderr.startswith("The index was made by another model")
    assert done.stderr.count("\n") == 1


def test_the_self_test_notices_an_index_that_answers_wrongly(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    build(tmp_path / "1", IDS, vectors, MODEL_ID)
    other = build(tmp_path / "2", IDS, make_vectors(COUNT, seed=9), MODEL_ID)
    # The trees of one gallery over the vectors of another, with every checksum right.
    shutil.copy(tmp_path / "2" / "index.ann", tmp_path / "1" / "index.ann")
    manifest = manifests.read(tmp_path / "1")
    fixed = replace(manifest, files=manifest.files | {"index.ann": other.files["index.ann"]})
    (tmp_path / "1" / manifests.NAME).write_bytes(manifests.encode(fixed))
    with pytest.raises(BadIndex, match="does not find itself"):
        self_test(tmp_path / "1", MODEL_ID)


def same(one: Hits, other: Hits) -> bool:
    return one.ids.tolist() == other.ids.tolist() and bool(np.all(one.similarities == other.similarities))


def check(directory: Path, model_id: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "engine.index.check", str(directory), model_id]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)
