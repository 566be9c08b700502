"""A damaged generation is refused before Annoy, which believes every byte, opens its file."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annoy import AnnoyIndex

from engine.errors import BadIndex, OldIndex
from engine.index import manifest as manifests
from engine.index.annoy_index import Index, open_annoy
from tests.engine.galleries import MODEL_ID, build, make_vectors, write_as_another_version

FILES = ("index.ann", "pca.npy", "ids.npy", "vectors.npy", "manifest.json")


class Door:
    """Opens Annoy's file as the index does, and remembers that it did."""

    def __init__(self) -> None:
        self.opened: list[Path] = []

    def __call__(self, path: Path, dimension: int) -> AnnoyIndex:
        self.opened.append(path)
        return open_annoy(path, dimension)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("index") / "1"
    build(directory, np.arange(900), make_vectors(900), MODEL_ID)
    return directory


@pytest.fixture
def generation(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "1"))


@contextmanager
def damage(path: Path) -> Iterator[bytearray]:
    """Hand out the bytes of a file to change, write them, and put the old ones back afterwards."""
    content = path.read_bytes()
    changed = bytearray(content)
    try:
        yield changed
    finally:
        path.write_bytes(content)


def assert_refused(directory: Path, reason: str | None = None) -> None:
    door = Door()
    with pytest.raises(BadIndex, match=reason) as refusal:
        Index.open(directory, MODEL_ID, open_annoy=door)
    assert str(refusal.value).endswith("run manage.py build_index.")
    assert "\n" not in str(refusal.value)
    assert door.opened == []


def test_a_whole_generation_is_opened_through_the_door(generation: Path) -> None:
    door = Door()
    assert len(Index.open(generation, MODEL_ID, open_annoy=door).search(make_vectors(2), 10)) == 2
    assert door.opened == [generation / "index.ann"]


def test_two_hundred_flipped_bytes_are_refused(generation: Path) -> None:
    chance = random.Random(1)
    for number in range(200):
        path = generation / FILES[number % len(FILES)]
        with damage(path) as content:
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
            path.write_bytes(content)
            assert_refused(generation)
    Index.open(generation, MODEL_ID)  # nothing but the flips was wrong


def test_every_byte_of_the_manifest_counts(generation: Path) -> None:
    path = generation / manifests.NAME
    for position in range(0, path.stat().st_size, 7):
        with damage(path) as content:
            content[position] ^= 1
            path.write_bytes(content)
            assert_refused(generation, "manifest.json")


def test_fifty_truncations_are_refused(generation: Path) -> None:
    chance = random.Random(2)
    for number in range(50):
        path = generation / FILES[number % len(FILES)]
        with damage(path) as content:
            path.write_bytes(content[: chance.randrange(len(content))])
            assert_refused(generation)
    Index.open(generation, MODEL_ID)


def test_bytes_at_the_end_are_refused(generation: Path) -> None:
    for name in FILES:
        with damage(generation / name) as content:
            (generation / name).write_bytes(content + b"\0")
            assert_refused(generation, name)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(generation: Path, name: str) -> None:
    (generation / name).unlink()
    assert_refused(generation, name)


@pytest.mark.parametrize("name", FILES)
def test_a_directory_in_the_place_of_a_file_is_refused(generation: Path, name: str) -> None:
    (generation / name).unlink()
    (generation / name).mkdir()
    assert_refused(generation, name)


def test_a_file_that_does_not_belong_there_is_refused(generation: Path) -> None:
    (generation / "manifest.json.bak").write_text("{}")
    assert_refused(generation, "manifest.json.bak does not belong there")


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\0" * 4096, b"{}", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"files": {"index.ann": 1}}'],
)
def test_a_garbage_manifest_is_refused(generation: Path, garbage: bytes) -> None:
    (generation / manifests.NAME).write_bytes(garbage)
    assert_refused(generation, "manifest.json is damaged")


def test_a_manifest_with_one_key_too_many_is_refused(generation: Path) -> None:
    fields = json.loads((generation / manifests.NAME).read_bytes())
    (generation / manifests.NAME).write_text(json.dumps(fields | {"more": 1}, indent=1, sort_keys=True) + "\n")
    assert_refused(generation, "manifest.json is damaged")


# What follows has a right checksum: written by another version, or put together by hand.
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, metric="euclidean"), "its metric is euclidean instead of cosine"),
        (lambda made: replace(made, dimension=512), "its vectors have 512 numbers instead of 4096"),
        (lambda made: replace(made, model_id="alexnet-00-p1"), "made by another model"),
        (lambda made: replace(made, files={}), "names other files"),
        (lambda made: replace(made, count=899), "ids.npy does not hold 899"),
        (
            lambda made: replace(made, parameters=replace(made.parameters, dimension=64)),
            "pca.npy does not reduce to 64 numbers",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    generation: Path, change: Callable[[manifests.Manifest], manifests.Manifest], reason: str
) -> None:
    changed = change(manifests.read(generation))
    (generation / manifests.NAME).write_bytes(manifests.encode(changed))
    assert_refused(generation, reason)


@pytest.mark.parametrize("more", [{}, {"of_another_version": 1}], ids=["the same fields", "other fields"])
def test_a_generation_of_another_version_differs_from_a_damaged_one(generation: Path, more: dict[str, int]) -> None:
    write_as_another_version(generation, **more)
    assert_refused(generation, f"it has format {manifests.FORMAT + 1}, this version reads {manifests.FORMAT}")
    with pytest.raises(OldIndex):
        Index.open(generation, MODEL_ID)
    path = generation / manifests.NAME
    path.write_bytes(path.read_bytes().replace(b'"checksum": "', b'"checksum": "0'))
    assert_refused(generation, "manifest.json is damaged")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(900, dtype=np.int32),
        np.arange(900)[::-1].copy(),
        np.zeros(900, np.int64),
        np.array(["pickled"] * 900, object),
    ],
)
def test_ids_of_another_kind_are_refused(generation: Path, array: np.ndarray) -> None:
    put_in_place(generation, "ids.npy", array)
    assert_refused(generation)


@pytest.mark.parametrize(
    "change",
    [
        lambda components: components.astype(np.float64),
        lambda components: components[:-1],
        lambda components: components.T.copy(),
        lambda components: components.astype(object),
    ],
)
def test_components_of_another_kind_are_refused(generation: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    put_in_place(generation, "pca.npy", change(np.load(generation / "pca.npy")))
    assert_refused(generation)


def test_trees_of_another_gallery_are_refused(generation: Path, tmp_path: Path) -> None:
    build(tmp_path / "2", np.arange(300), make_vectors(300), MODEL_ID)
    shutil.copy(tmp_path / "2" / "index.ann", generation / "index.ann")
    made = manifests.read(generation)
    files = made.files | {"index.ann": manifests.describe_file(generation / "index.ann")}
    (generation / manifests.NAME).write_bytes(manifests.encode(replace(made, files=files)))
    with pytest.raises(BadIndex, match=r"index\.ann does not hold 900 vectors"):
        Index.open(generation, MODEL_ID)


def put_in_place(generation: Path, name: str, array: np.ndarray) -> None:
    """Write it there with a right checksum in the manifest."""
    np.save(generation / name, array, allow_pickle=True)
    made = manifests.read(generation)
    files = made.files | {name: manifests.describe_file(generation / name)}
    (generation / manifests.NAME).write_bytes(manifests.encode(replace(made, files=files)))
