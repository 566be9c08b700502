"""Building a generation: the manifest tells the truth, and a directory is there whole or not at all."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.images.fingerprints import BYTES
from engine.index import build as building
from engine.index import manifest as manifests
from engine.index.annoy_index import Index
from engine.index.build import DIMENSION, Block, clean_leftovers
from engine.index.tuning import TREES
from tests.engine.galleries import MODEL_ID, build, make_noise, make_vectors

COUNT = 900
IDS = np.arange(COUNT)

KILLED = """
import sys
import numpy as np
from pathlib import Path
from engine.index.build import build
print("ready", flush=True)
vectors = np.load(sys.argv[2], mmap_mode="r")
build(Path(sys.argv[1]), np.arange(900), [(vectors, np.zeros((900, 64), np.uint8))], "x")
"""


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return make_vectors(COUNT)


def test_the_manifest_describes_what_is_there(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    made = build(tmp_path / "1", IDS, vectors, MODEL_ID)
    assert made == Index.open(tmp_path / "1").manifest
    assert (made.model_id, made.metric, made.dimension, made.count) == (MODEL_ID, "cosine", 4096, COUNT)
    assert (made.parameters.dimension, made.parameters.trees) == (DIMENSION, TREES)
    assert made.recall >= made.recall_target == 0.99
    assert made.recall_sample == 500
    assert 10 <= made.parameters.candidates < COUNT
    assert made.parameters.search_k >= made.parameters.candidates
    assert not made.is_exact
    assert set(made.files) == {path.name for path in (tmp_path / "1").iterdir()} - {manifests.NAME}
    for name, stored in made.files.items():
        content = (tmp_path / "1" / name).read_bytes()
        assert (stored.size_bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_manifest_has_the_keys_of_its_format(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    """Generations of the version before are searched during an upgrade, and new ones after a step back."""
    build(tmp_path / "1", IDS, vectors, MODEL_ID)
    stored = json.loads((tmp_path / "1" / manifests.NAME).read_bytes())
    assert stored["network"] == MODEL_ID
    assert sorted(stored) == [
        "checksum",
        "count",
        "created_at",
        "dimension",
        "files",
        "format",
        "metric",
        "network",
        "parameters",
        "recall",
        "recall_sample",
        "recall_target",
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_in_a_small_gallery_every_picture_is_a_candidate(tmp_path: Path, count: int) -> None:
    made = build(tmp_path / "1", range(count), make_vectors(count), MODEL_ID)
    assert (made.parameters.candidates, made.parameters.search_k) == (count, TREES * count)
    assert (made.recall, made.recall_sample) == (1.0, 0)
    assert made.is_exact
    assert {path.name for path in (tmp_path / "1").iterdir()} == {*manifests.FILES, manifests.NAME}


def test_a_gallery_without_structure_needs_more_candidates(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    noise = build(tmp_path / "1", IDS, make_noise(COUNT), MODEL_ID)
    usual = build(tmp_path / "2", IDS, vectors, MODEL_ID)
    assert noise.recall >= noise.recall_target
    assert noise.parameters.candidates > 3 * usual.parameters.candidates


def test_a_missed_target_stays_in_the_manifest(tmp_path: Path) -> None:
    made = build(tmp_path / "1", range(2500), make_noise(2500), MODEL_ID, target_recall=1.0)
    assert made.recall < made.recall_target


def test_the_same_gallery_gives_the_same_files(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    one, other = (build(tmp_path / name, IDS, vectors, MODEL_ID) for name in ("1", "2"))
    assert one.files == other.files
    assert (one.parameters, one.recall) == (other.parameters, other.recall)


@pytest.mark.parametrize("count", [129, 1500])
def test_photographs_that_were_kept_out_are_found(tmp_path: Path, count: int) -> None:
    made = build(tmp_path / "1", range(count), make_vectors(count), MODEL_ID)
    index, queries = Index.open(tmp_path / "1"), make_vectors(100, seed=5)
    pairs = zip(index.search(queries, 10), index.exact(queries, 10), strict=True)
    assert np.mean([np.isin(true.ids, found.ids).mean() for found, true in pairs]) >= 0.98
    assert made.parameters.candidates < count


def test_no_picture_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="There is no picture to index"):
        build(tmp_path / "1", [], make_vectors(0), MODEL_ID)
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_float16_are_brought_back_to_unit_length(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    marks = np.random.default_rng(1).integers(0, 256, (COUNT, BYTES), np.uint8)
    parts = [slice(start, start + 77) for start in range(0, COUNT, 77)]
    blocks = ((vectors[part].astype(np.float16), marks[part]) for part in parts)
    building.build(tmp_path / "1", IDS, blocks, MODEL_ID)
    np.testing.assert_array_equal(Index.open(tmp_path / "1").stored(IDS)[1], marks)
    stored = Index.open(tmp_path / "1").vectors_at(IDS)
    assert stored.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(stored, vectors, atol=1e-3)


def test_progress_is_reported(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    messages: list[tuple[str, int, int]] = []
    build(tmp_path / "1", IDS, vectors, MODEL_ID, progress=lambda *step: messages.append(step))
    assert ("copying the embeddings", COUNT, COUNT) in messages
    assert messages[-1] == ("complete", 1, 1)


def with_row(vectors: NDArray[np.float32], row: NDArray[np.float32] | float) -> NDArray[np.float32]:
    changed = vectors[:50].copy()
    changed[17] = row
    return changed


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "picture 17 is not of unit length"),
        (np.inf, "picture 17"),
        (0.0, "picture 17"),
        (1.0, "picture 17"),
    ],
)
def test_an_unusable_vector_is_refused_by_name(
    tmp_path: Path, vectors: NDArray[np.float32], value: float, reason: str
) -> None:
    with pytest.raises(BadIndex, match=reason):
        build(tmp_path / "1", range(50), with_row(vectors, value), MODEL_ID)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([*range(48), 49, 48], "not in ascending order"),
        ([*range(49), 48], "not in ascending order"),
        (range(51), "Only 50 vectors came for 51 pictures"),
        (range(49), "49 pictures are left"),
    ],
)
def test_ids_that_do_not_fit_are_refused(
    tmp_path: Path, vectors: NDArray[np.float32], ids: list[int], reason: str
) -> None:
    with pytest.raises(BadIndex, match=reason):
        build(tmp_path / "1", ids, vectors[:50], MODEL_ID)
    assert list(tmp_path.iterdir()) == []


def test_a_generation_is_never_written_over(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    build(tmp_path / "1", range(50), vectors[:50], MODEL_ID)
    with pytest.raises(BadIndex, match="exists already"):
        build(tmp_path / "1", range(60), vectors[:60], MODEL_ID)
    assert Index.open(tmp_path / "1").manifest.count == 50
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    def blocks() -> Iterator[Block]:
        yield vectors[:40], np.zeros((40, BYTES), np.uint8)
        raise ConnectionResetError(104, "the database went away")

    with pytest.raises(BadIndex, match="the database went away"):
        building.build(tmp_path / "1", np.arange(50), blocks(), MODEL_ID)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadIndex, match=r"could not be written: Not a directory\.$"):
        build(tmp_path / "file" / "1", range(50), vectors[:50], MODEL_ID)


# Where it ends: in the vectors, in pca.npy, in Annoy's own file, early and late.
@pytest.mark.parametrize("room_kb", [4_000, 15_500, 18_000, 18_600])
def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(
    tmp_path: Path, vectors: NDArray[np.float32], room_kb: int
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room_kb}k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        build(tmp_path / "old", range(50), vectors[:50], MODEL_ID)
        with pytest.raises(BadIndex, match=r"could not be written: .*[Nn]o space left on device.*\.$"):
            build(tmp_path / "new", IDS, vectors, MODEL_ID)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
        assert Index.open(tmp_path / "old").manifest.count == 50
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_leftovers_are_cleaned_and_nothing_else(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    build(tmp_path / "1", range(50), vectors[:50], MODEL_ID)
    leftover = tmp_path / ".2.building-4711-0a0b0c0d"
    leftover.mkdir()
    (leftover / "vectors.npy").write_bytes(b"half")
    (tmp_path / ".hidden").touch()
    assert clean_leftovers(tmp_path) == [leftover]
    assert {path.name for path in tmp_path.iterdir()} == {"1", ".hidden"}


@pytest.mark.drill
def test_a_killed_build_leaves_a_whole_generation_or_none(tmp_path: Path, vectors: NDArray[np.float32]) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    root, moments = tmp_path / "index", random.Random(11)
    root.mkdir()
    unfinished = 0
    for number in range(12):
        kill_a_build(root / str(number), tmp_path / "vectors.npy", moments.uniform(0, 0.8))
        if (root / str(number)).exists():
            assert Index.open(root / str(number)).manifest.count == COUNT
        unfinished += len(clean_leftovers(root))
    assert unfinished > 0  # or no build was killed in the middle and this proves nothing
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def kill_a_build(directory: Path, vectors: Path, after_s: float) -> None:
    command = [sys.executable, "-c", KILLED, str(directory), str(vectors)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.kill()
